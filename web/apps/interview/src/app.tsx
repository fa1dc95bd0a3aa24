import { RoomAudioRenderer } from "@livekit/components-react";
import { RoomkeeperRoom, type Session, useKeptSession, useModel } from "@roomkeeper/react";
import { useState } from "react";
import { Conversation } from "./conversation";
import { End } from "./end";
import { Lobby } from "./lobby";
import { begin, forgetVisit } from "./visit";
import { useWords } from "./words";

export function App({ resumed }: { resumed: Session | null }) {
  const words = useWords();
  const [session, setSession] = useState(resumed);
  const [name, setName] = useState("");
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
      <Visit onAgain={again} />
      {/* Beyond the end, too: the last words may still be playing. */}
      <RoomAudioRenderer />
    </RoomkeeperRoom>
  );
}

/** Whatever the session is in, from joining to the end. */
export function Visit({ onAgain }: { onAgain: () => void }) {
  const session = useKeptSession();
  const model = useModel(session);
  return model.view.state === "ended" ? (
    <End model={model} ended={model.view} onAgain={onAgain} />
  ) : (
    <Conversation session={session} model={model} />
  );
}
