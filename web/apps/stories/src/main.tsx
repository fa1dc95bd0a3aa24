/** Every state of the interview page (`#listening`) or of the bare parts (`#parts/listening`), with nobody behind it. */
import { EndButton, EndScreen, RoomkeeperRoom, replay, Session, SessionStatus, Store } from "@roomkeeper/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Visit } from "../../interview/src/app";
import { WordsContext, wordsFor } from "../../interview/src/words";
import { STORIES } from "./stories";
import "../../interview/src/styles/base.css";
import "../../interview/src/styles/controls.css";
import "../../interview/src/styles/conversation.css";
import "../../interview/src/styles/end.css";
import "../../interview/src/styles/lobby.css";

/** A session in which everything has happened already. */
function told(name: string): Session {
  const store = new Store(replay(STORIES[name] ?? []));
  return new Session({ store, page: { watch: () => () => undefined } });
}

function Story({ name, bare }: { name: string; bare: boolean }) {
  return (
    <RoomkeeperRoom session={told(name)}>
      {bare ? (
        <main>
          <SessionStatus />
          <EndScreen>
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
