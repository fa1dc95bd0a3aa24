import { RoomAudioRenderer } from "@livekit/components-react";
import { RoomkeeperRoom, type Session, useKeptSession, useModel } from "@roomkeeper/react";
import { useState } from "react";
import { Conversation } from "./conversation";
import { End } from "./end";
import { Mark } from "./icons";
import { Lobby } from "./lobby";
import { type arrive, begin, forgetVisit, isInvited } from "./visit";
import { useWords } from "./words";

export function App({ arrival }: { arrival: Awaited<ReturnType<typeof arrive>> }) {
  const words = useWords();
  const [session, setSession] = useState<Session | null>(typeof arrival === "string" ? null : arrival);
  const [name, setName] = useState("");
  if (arrival === "refused") return <Refused />;
  if (session === null) {
    return (
      <Lobby
        name={name}
        onName={setName}
        onJoin={(microphone) => setSession(begin({ name: name.trim() || words.lobby.candidate, microphone }))}
      />
    );
  }
  const again = () => {
    forgetVisit();
    setSession(null);
  };
  return (
    <RoomkeeperRoom session={session}>
      <Visit onAgain={isInvited ? null : again} />
      {/* Beyond the end, too: the last words may still be playing. */}
      <RoomAudioRenderer />
    </RoomkeeperRoom>
  );
}

/** Whatever the session is in, from joining to the end. */
export function Visit({ onAgain }: { onAgain: (() => void) | null }) {
  const session = useKeptSession();
  const model = useModel(session);
  return model.view.state === "ended" ? (
    <End model={model} ended={model.view} onAgain={onAgain} />
  ) : (
    <Conversation session={session} model={model} />
  );
}

/** While an invitation is asked about. */
export function Opening() {
  const { status } = useWords();
  return (
    <main className="lobby">
      <p className="status" role="status" data-state="connecting">
        {status.connecting}
      </p>
    </main>
  );
}

/** An invitation that is not good any more. */
function Refused() {
  const { title, text, retry } = useWords().advice.token;
  return (
    <main className="lobby">
      <div className="obstruction" role="alert">
        <Mark />
        <h1>{title}</h1>
        <p>{text}</p>
        <button type="button" className="primary" onClick={() => location.reload()}>
          {retry}
        </button>
      </div>
    </main>
  );
}
