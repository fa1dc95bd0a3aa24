import { type FormEvent, useState } from "react";
import { DeviceSelect } from "./device-select";
import { Mark, MicrophoneIcon } from "./icons";
import { LevelMeter } from "./level-meter";
import { useMicrophonePreview } from "./microphone";

interface Props {
  readonly name: string;
  readonly onName: (name: string) => void;
  readonly onJoin: (microphone: { on: boolean; deviceId: string | null }) => void;
}

export function Lobby({ name, onName, onJoin }: Props) {
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
        <h1>Your interview is ready</h1>
        <p className="lead">
          A short conversation, about five minutes. Find a quiet place and answer in your own words.
        </p>

        <label className="field">
          <span>Your name</span>
          <input
            type="text"
            name="name"
            autoComplete="name"
            maxLength={80}
            placeholder="Optional"
            value={name}
            onChange={(event) => onName(event.target.value)}
          />
        </label>

        <div className="field">
          <span>Microphone</span>
          {preview.is === "open" ? (
            <div className="check">
              <DeviceSelect label="Microphone" chosen={deviceId} onChoose={choose} />
              <LevelMeter track={preview.track} />
              <p className="hint">Say something: the bar should move.</p>
            </div>
          ) : (
            <button
              type="button"
              className="quiet wide"
              disabled={preview.is === "opening"}
              onClick={() => void open(deviceId)}
            >
              <MicrophoneIcon />
              {preview.is === "opening" ? "Waiting for your browser…" : "Test your microphone"}
            </button>
          )}
          {preview.is === "failed" && (
            <p className="problem" role="alert">
              {preview.why}
            </p>
          )}
        </div>

        <button type="submit" className="primary wide">
          Start the interview
        </button>
        <button type="button" className="link" onClick={() => onJoin({ on: false, deviceId: null })}>
          Join without a microphone and type
        </button>
      </form>
      <Smallprint />
    </main>
  );
}

export function Smallprint() {
  return <p className="smallprint">The interviewer speaks with an offline demonstration voice.</p>;
}
