/**
 * LiveKit's own starter pattern, `useSession` and `SessionProvider`, with the hook in it; LiveKit's `useAgent` is shown
 * beside it to compare. `?server=` is where tokens and the control plane are.
 */
import { RoomAudioRenderer, SessionProvider, useAgent, useSession, useSessionContext } from "@livekit/components-react";
import { EndScreen, SessionStatus, useRoomkeeper } from "@roomkeeper/react";
import { statusOf } from "@roomkeeper/react/en";
import { TokenSource } from "livekit-client";
import { StrictMode, useEffect } from "react";
import { createRoot } from "react-dom/client";

const server = new URLSearchParams(location.search).get("server") ?? "";
const source = TokenSource.endpoint(`${server}/api/token`);

function App() {
  const session = useSession(source, { agentName: "interviewer" });
  const { start, room } = session;
  // For whoever wants to simulate a scenario from the browser's console.
  Object.assign(globalThis, { room });
  useEffect(() => {
    void start({ tracks: { microphone: { enabled: false } } });
  }, [start]);
  return (
    <main>
      <SessionProvider session={session}>
        <RoomAudioRenderer />
        <Talk />
      </SessionProvider>
    </main>
  );
}

function Talk() {
  const agent = useAgent();
  const { connectionState } = useSessionContext();
  const { end } = useRoomkeeper({ api: `${server}/api` });
  return (
    <>
      <SessionStatus words={statusOf} api={`${server}/api`} />
      <p data-testid="livekit">
        {connectionState} {agent.state}
      </p>
      <button type="button" onClick={() => void end()}>
        End it
      </button>
      <EndScreen api={`${server}/api`} />
    </>
  );
}

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
