import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { resume } from "./visit";
import { WordsContext, wordsFor } from "./words";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/lobby.css";
import "./styles/conversation.css";
import "./styles/end.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
const asked = new URLSearchParams(location.search).get("lang");
const words = wordsFor(asked === null ? navigator.languages : [asked]);
document.documentElement.lang = words.language;
document.title = words.title;
createRoot(root).render(
  <StrictMode>
    <WordsContext value={words}>
      <App resumed={resume()} />
    </WordsContext>
  </StrictMode>,
);
