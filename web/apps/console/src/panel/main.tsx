import "../styles.css";
import "./panel.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Api } from "../api";
import { type Dev, describe } from "./dev";
import { Panel } from "./panel";

async function begin(): Promise<{ readonly api: Api; readonly dev: Dev }> {
  const dev = await describe(new Api(""));
  const answer = await new Api(dev.sign_in).request("/api/login", { method: "POST" });
  const { token } = (await answer.json()) as { token: string };
  return { api: new Api(token), dev };
}

const root = document.getElementById("root");
if (root) {
  const page = createRoot(root);
  begin().then(
    ({ api, dev }) =>
      page.render(
        <StrictMode>
          <Panel api={api} dev={dev} />
        </StrictMode>,
      ),
    () =>
      page.render(
        <main className="gate">
          <h1>Only in development</h1>
          <p>
            This page belongs to <code>roomkeeper dev</code>.
          </p>
        </main>,
      ),
  );
}
