import "../styles.css";
import "./panel.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Api } from "../api";
import { Panel } from "./panel";

/** What `roomkeeper dev` says about itself; it gives whoever sits at this machine the console, too. */
interface Dev {
  readonly sign_in: string;
  readonly stock: boolean;
}

async function begin(): Promise<{ readonly api: Api; readonly dev: Dev }> {
  const dev = (await (await new Api("").request("/api/dev")).json()) as Dev;
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
          <Panel api={api} stock={dev.stock} />
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
