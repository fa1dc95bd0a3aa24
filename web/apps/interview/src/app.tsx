import { RoomAudioRenderer, RoomContext } from "@livekit/components-react";
import type { Session } from "@roomkeeper/client";
import { useRoomkeeper } from "@roomkeeper/react";
import { useState } from "react";
import { Conversation } from "./conversation";
import { End } from "./end";
import { Lobby } from "./lobby";
import { begin } from "./visit";

export function App({ resumed }: { resumed: Session | null }) {
  const [session, setSession] = useState(resumed);
  const [name, setName] = useState("");
  if (session === null) {
    return (
      <Lobby
        name={name}
        onName={setName}
        onJoin={(microphone) => setSession(begin({ name: name.trim() || "Candidate", microphone }))}
      />
    );
  }
  return <Visit session={session} onAgain={() => setSession(null)} />;
}

function Visit({ session, onAgain }: { session: Session; onAgain: () => void }) {
  const model = useRoomkeeper(session);
  const { view } = model;
  return (
    <RoomContext.Provider value={session.room}>
      {view.state === "ended" ? (
        <End model={model} ended={view} onAgain={onAgain} />
      ) : (
        <Conversation session={session} model={model} />
      )}
      {/* Beyond the end, too: the last words may still be playing. */}
      <RoomAudioRenderer />
    </RoomContext.Provider>
  );
}
