import "./styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Api } from "./api";
import { App } from "./app";
import { Gate } from "./gate";
import { signIn } from "./signin";

// A link opened in a tab that shows the console already changes nothing but the fragment.
addEventListener("hashchange", () => location.hash.startsWith("#token=") && location.reload());

const root = document.getElementById("root");
if (root) {
  const page = createRoot(root);
  signIn().then(
    (token) => page.render(<StrictMode>{token ? <App api={new Api(token)} /> : <Gate />}</StrictMode>),
    (error: Error) => page.render(<Gate why={error.message} />),
  );
}
