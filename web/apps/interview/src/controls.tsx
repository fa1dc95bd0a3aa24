import type { Model, Session } from "@roomkeeper/react";
import { useState } from "react";
import { DeviceSelect } from "./device-select";
import { EndDialog } from "./end-dialog";
import { MicrophoneIcon, SoundIcon } from "./icons";
import { useWords } from "./words";

/** Whether the browser lets a page choose where its sound comes out. */
const CAN_CHOOSE_SPEAKER = "setSinkId" in HTMLMediaElement.prototype;

export function Controls({ session, model }: { session: Session; model: Model }) {
  const { conversation, lobby } = useWords();
  const { room } = session;
  const [microphone, setMicrophone] = useState<string | null>(room.getActiveDevice("audioinput") ?? null);
  const [speaker, setSpeaker] = useState<string | null>(room.getActiveDevice("audiooutput") ?? null);
  const muted = model.microphone !== "on";
  // Whether somebody listens to what the user says.
  const usable = model.link.is === "connected" && model.view.state !== "ending";
  return (
    <div className="controls">
      <div className="joined">
        <button
          type="button"
          className="toggle"
          aria-pressed={muted}
          disabled={!usable}
          onClick={() => void session.setMicrophone(muted)}
        >
          <MicrophoneIcon off={muted} />
          {conversation.mute}
        </button>
        {model.microphone === "on" && usable && (
          <DeviceSelect
            kind="audioinput"
            label={lobby.microphone}
            compact
            chosen={microphone}
            onChoose={(chosen) => {
              setMicrophone(chosen);
              void room
                .switchActiveDevice("audioinput", chosen)
                .catch(() => session.tell({ type: "MicrophoneFailed" }));
            }}
          />
        )}
      </div>
      {CAN_CHOOSE_SPEAKER && usable && (
        <DeviceSelect
          kind="audiooutput"
          label={conversation.speaker}
          icon={<SoundIcon />}
          chosen={speaker}
          onChoose={(chosen) => {
            setSpeaker(chosen);
            void room.switchActiveDevice("audiooutput", chosen).catch(() => setSpeaker(null));
          }}
        />
      )}
      <EndDialog />
    </div>
  );
}
