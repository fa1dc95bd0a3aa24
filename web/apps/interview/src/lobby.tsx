import { type FormEvent, useState } from "react";
import { DeviceSelect } from "./device-select";
import { Mark, MicrophoneIcon } from "./icons";
import { LevelMeter } from "./level-meter";
import { useMicrophonePreview } from "./microphone";
import { useWords } from "./words";

interface Props {
  readonly name: string;
  readonly onName: (name: string) => void;
  readonly onJoin: (microphone: { on: boolean; deviceId: string | null }) => void;
}

export function Lobby({ name, onName, onJoin }: Props) {
  const { lobby } = useWords();
  const [deviceId, setDeviceId] = useState<string | null>(null);
  const { preview, open } = useMicrophonePreview();

  const choose = (chosen: string) => {
    setDeviceId(chosen);
    void open(chosen);
  };
  const join = async (event: FormEvent) => {
    event.preventDefault();
    if (preview.is === "opening") return;
    if (preview.is === "open" || (await open(deviceId))) onJoin({ on: true, deviceId });
  };

  return (
    <main className="lobby">
      <form onSubmit={join}>
        <Mark />
        <h1>{lobby.heading}</h1>
        <p className="lead">{lobby.lead}</p>

        <label className="field">
          <span>{lobby.name}</span>
          <input
            type="text"
            name="name"
            autoComplete="name"
            maxLength={80}
            placeholder={lobby.optional}
            value={name}
            onChange={(event) => onName(event.target.value)}
          />
        </label>

        <div className="field">
          <span>{lobby.microphone}</span>
          {preview.is === "open" ? (
            <div className="check">
              <DeviceSelect kind="audioinput" label={lobby.microphone} chosen={deviceId} onChoose={choose} />
              <LevelMeter track={preview.track} label={lobby.level} />
              <p className="hint">{lobby.speak}</p>
            </div>
          ) : (
            <button
              type="button"
              className="quiet wide"
              disabled={preview.is === "opening"}
              onClick={() => void open(deviceId)}
            >
              <MicrophoneIcon />
              {preview.is === "opening" ? lobby.asking : lobby.test}
            </button>
          )}
          {preview.is === "failed" && (
            <p className="problem" role="alert">
              {lobby[preview.why]}
            </p>
          )}
        </div>

        <button type="submit" className="primary wide">
          {lobby.start}
        </button>
        <button type="button" className="link" onClick={() => onJoin({ on: false, deviceId: null })}>
          {lobby.typeOnly}
        </button>
      </form>
      <Disclosure />
    </main>
  );
}

export function Disclosure() {
  const { disclosure } = useWords();
  return <p className="smallprint">{disclosure}</p>;
}
