/**
 * An application with a `LiveKitRoom` of its own, as LiveKit's documentation has it, that took up the hook and two parts.
 * `?server=` is where tokens and the control plane are.
 */
import { LiveKitRoom, RoomAudioRenderer, useVoiceAssistant } from "@livekit/components-react";
import { EndButton, SessionStatus, useRoomkeeper } from "@roomkeeper/react";
import { statusOf } from "@roomkeeper/react/en";
import { TokenSource } from "livekit-client";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const server = new URLSearchParams(location.search).get("server") ?? "";
const source = TokenSource.endpoint(`${server}/api/token`);

function App() {
  const [access, setAccess] = useState<{ serverUrl: string; participantToken: string } | null>(null);
  const [ended, setEnded] = useState<string[]>([]);
  useEffect(() => {
    void source.fetch({ agentName: "interviewer" }).then(setAccess);
  }, []);
  return (
    <main>
      <h1>An application with LiveKitRoom</h1>
      {access !== null && (
        <LiveKitRoom serverUrl={access.serverUrl} token={access.participantToken} audio={false}>
          <RoomAudioRenderer />
          <Talk onEnded={(reason) => setEnded((before) => [...before, reason])} />
        </LiveKitRoom>
      )}
      <ol aria-label="Ends">
        {ended.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ol>
    </main>
  );
}

function Talk({ onEnded }: { onEnded: (reason: string) => void }) {
  const { state } = useVoiceAssistant();
  const view = useRoomkeeper({ api: `${server}/api`, onEnded: ({ reason }) => onEnded(reason ?? "unexplained") });
  return (
    <>
      <SessionStatus words={statusOf} api={`${server}/api`} />
      <p data-testid="livekit">{state}</p>
      {view.state === "blocked" && (
        <button type="button" onClick={() => void view.retry()}>
          Try again
        </button>
      )}
      <EndButton api={`${server}/api`}>End it</EndButton>
    </>
  );
}

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
