/** Every state of the interview page (`#listening`) or of the bare parts (`#parts/listening`), with nobody behind it. */
import { createStore, replay } from "@roomkeeper/client";
import { createSession, EndButton, EndScreen, RoomkeeperRoom, type Session, SessionStatus } from "@roomkeeper/react";
import * as german from "@roomkeeper/react/de";
import * as english from "@roomkeeper/react/en";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Visit } from "../../interview/src/app";
import { useWords, WordsContext, wordsFor } from "../../interview/src/words";
import { STORIES } from "./stories";
import "../../interview/src/styles/base.css";
import "../../interview/src/styles/controls.css";
import "../../interview/src/styles/conversation.css";
import "../../interview/src/styles/end.css";
import "../../interview/src/styles/lobby.css";

/** A session in which everything has happened already. */
function told(name: string): Session {
  const store = createStore(replay(STORIES[name] ?? []));
  return createSession({ store, page: () => () => {} });
}

function Story({ name, bare }: { name: string; bare: boolean }) {
  const { statusOf, reasonOf } = useWords().language === "de" ? german : english;
  return (
    <RoomkeeperRoom session={told(name)}>
      {bare ? (
        <main>
          <SessionStatus words={statusOf} />
          <EndScreen words={reasonOf}>
            <p>What comes next.</p>
          </EndScreen>
          <EndButton />
        </main>
      ) : (
        <Visit onAgain={() => undefined} />
      )}
    </RoomkeeperRoom>
  );
}

function List() {
  return (
    <main>
      <h1>Every state</h1>
      <ul>
        {Object.keys(STORIES).map((name) => (
          <li key={name}>
            <a href={`#${name}`}>{name}</a> (<a href={`#parts/${name}`}>{name}, bare parts</a>)
          </li>
        ))}
      </ul>
    </main>
  );
}

const root = createRoot(document.getElementById("root") as HTMLElement);

function show(): void {
  const address = decodeURIComponent(location.hash.slice(1));
  const bare = address.startsWith("parts/");
  const name = bare ? address.slice("parts/".length) : address;
  const words = wordsFor([new URLSearchParams(location.search).get("lang") ?? "en"]);
  document.documentElement.lang = words.language;
  root.render(
    <StrictMode>
      <WordsContext value={words}>
        {name in STORIES ? <Story key={address} name={name} bare={bare} /> : <List />}
      </WordsContext>
    </StrictMode>,
  );
}

window.addEventListener("hashchange", show);
show();
