import { type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App, Opening } from "./app";
import { arrive } from "./visit";
import { WordsContext, wordsFor } from "./words";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/lobby.css";
import "./styles/conversation.css";
import "./styles/end.css";

const element = document.getElementById("root");
if (element === null) throw new Error("index.html has no #root");
const root = createRoot(element);
const asked = new URLSearchParams(location.search).get("lang");
const words = wordsFor(asked === null ? navigator.languages : [asked]);
document.documentElement.lang = words.language;
document.title = words.title;
// Another invitation in the same tab is another visit.
addEventListener("hashchange", () => location.reload());

const show = (page: ReactNode) =>
  root.render(
    <StrictMode>
      <WordsContext value={words}>{page}</WordsContext>
    </StrictMode>,
  );
show(<Opening />);
void arrive().then((arrival) => show(<App arrival={arrival} />));
