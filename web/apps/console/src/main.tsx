import "./styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Api } from "./api";
import { App } from "./app";
import { Gate } from "./gate";
import { signIn } from "./signin";

const root = document.getElementById("root");
if (root) {
  const page = createRoot(root);
  signIn().then(
    (token) => page.render(<StrictMode>{token ? <App api={new Api(token)} /> : <Gate />}</StrictMode>),
    (error: Error) => page.render(<Gate why={error.message} />),
  );
}
