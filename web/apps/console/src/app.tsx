import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Api } from "./api";
import { Gate } from "./gate";
import { List } from "./list";
import { SessionPage } from "./session";
import { signOut } from "./signin";
import { Store } from "./store";

/** The console of somebody who is signed in: the list, and beside it the session that the address names. */
export function App({ api }: { readonly api: Api }) {
  const store = useMemo(() => new Store(api), [api]);
  useEffect(() => {
    const aborter = new AbortController();
    void store.run(aborter.signal);
    return () => aborter.abort();
  }, [store]);
  const view = useSyncExternalStore(store.subscribe, store.view);
  const chosen = useHash();
  if (view.refused !== null) return <Gate why={view.refused} />;
  return (
    <div className="console">
      <header className="bar">
        <h1>Roomkeeper</h1>
        <p className="link" data-up={view.connected} role="status">
          {view.connected ? "live" : "connecting…"}
        </p>
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      </header>
      <List store={store} view={view} chosen={chosen} />
      {chosen ? (
        <SessionPage key={chosen} api={api} id={chosen} store={store} skew={view.skew} />
      ) : (
        <main className="nothing">
          <p>Choose a session to see what happened, and why it ended.</p>
        </main>
      )}
    </div>
  );
}

/** The session in the address, `#/S_…`. */
function useHash(): string {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const read = () => setHash(location.hash);
    addEventListener("hashchange", read);
    return () => removeEventListener("hashchange", read);
  }, []);
  return hash.startsWith("#/") ? decodeURIComponent(hash.slice(2)) : "";
}
