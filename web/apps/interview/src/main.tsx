import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { resume } from "./visit";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/lobby.css";
import "./styles/conversation.css";
import "./styles/end.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App resumed={resume()} />
  </StrictMode>,
);
