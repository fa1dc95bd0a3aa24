import { useTracks } from "@livekit/components-react";
import type { Model, Session } from "@roomkeeper/client";
import { LocalAudioTrack, RemoteAudioTrack, Track } from "livekit-client";
import { useEffect, useRef, useState } from "react";
import { Composer } from "./composer";
import { DeviceSelect } from "./device-select";
import { Elapsed } from "./elapsed";
import { EndButton } from "./end-button";
import { Mark, MicrophoneIcon, SoundIcon } from "./icons";
import { Smallprint } from "./lobby";
import { Obstruction } from "./obstruction";
import { Transcript } from "./transcript";
import { Voices } from "./voices";
import { statusOf } from "./words";

interface Props {
  readonly session: Session;
  readonly model: Model;
}

export function Conversation({ session, model }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <main className="conversation">
      <header>
        <Mark />
        <h1 ref={heading} tabIndex={-1}>
          Interview
        </h1>
        {model.weakConnection && <span className="weak">Weak connection</span>}
        {model.liveAt !== null && <Elapsed since={model.liveAt} />}
      </header>
      <Stage session={session} model={model} />
      <aside>
        <Transcript lines={model.lines} live />
        <Composer
          open={model.view.state !== "ending"}
          connected={model.link.is === "connected" && model.offlineSince === null}
          placeholder={model.microphone === "on" ? "Or type an answer" : "Type your answer"}
          onSay={(text) => session.say(text)}
        />
      </aside>
    </main>
  );
}

function Stage({ session, model }: Props) {
  const { view } = model;
  const heard = useTracks([Track.Source.Microphone]).find(
    ({ participant }) => participant.identity === model.agent?.identity,
  )?.publication.track;
  const own = session.room.localParticipant.getTrackPublication(Track.Source.Microphone)?.track;
  const live = view.state === "live" ? view : null;
  return (
    <section className="stage" aria-label="Conversation">
      {view.state === "blocked" ? (
        <Obstruction session={session} cause={view.cause} />
      ) : (
        <div className="scene" data-state={view.state}>
          <span className="side agent">Interviewer</span>
          <Voices
            agent={heard instanceof RemoteAudioTrack ? heard : undefined}
            user={own instanceof LocalAudioTrack && model.microphone === "on" ? own : undefined}
            activity={live?.agent ?? null}
          />
          <span className="side user">You</span>
          <p className="status" role="status">
            {statusOf(view)}
          </p>
          <p className="hint">{live !== null && model.microphone !== "on" && "Your microphone is off."}</p>
          {live?.needsGesture && (
            <button type="button" className="primary" onClick={() => void session.startAudio()}>
              <SoundIcon />
              Turn on the sound
            </button>
          )}
        </div>
      )}
      <Controls session={session} model={model} />
      <Smallprint />
    </section>
  );
}

function Controls({ session, model }: Props) {
  const [deviceId, setDeviceId] = useState<string | null>(session.room.getActiveDevice("audioinput") ?? null);
  const muted = model.microphone !== "on";
  const usable = isUsable(model);
  return (
    <div className="controls">
      <div className="microphone">
        <button
          type="button"
          className="toggle"
          aria-pressed={muted}
          disabled={!usable}
          onClick={() => void session.setMicrophone(muted)}
        >
          <MicrophoneIcon off={muted} />
          Mute
        </button>
        {model.microphone === "on" && usable && (
          <DeviceSelect
            label="Microphone"
            compact
            chosen={deviceId}
            onChoose={(chosen) => {
              setDeviceId(chosen);
              void session.chooseMicrophone(chosen);
            }}
          />
        )}
      </div>
      <EndButton onEnd={() => void session.end()} />
    </div>
  );
}

/** Whether somebody listens to what the user says and types. */
function isUsable(model: Model): boolean {
  return model.link.is === "connected" && model.view.state !== "ending";
}
