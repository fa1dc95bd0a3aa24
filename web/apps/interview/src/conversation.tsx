import { useTracks } from "@livekit/components-react";
import { type Model, type Session, SessionStatus } from "@roomkeeper/react";
import { say } from "@roomkeeper/react/transcript";
import { LocalAudioTrack, RemoteAudioTrack, Track } from "livekit-client";
import { useEffect, useRef } from "react";
import { Banner, isTrouble } from "./banner";
import { Composer } from "./composer";
import { Controls } from "./controls";
import { Elapsed } from "./elapsed";
import { Mark, SoundIcon } from "./icons";
import { Disclosure } from "./lobby";
import { Obstruction } from "./obstruction";
import { ConnectionQuality } from "./quality";
import { Transcript } from "./transcript";
import { Voices } from "./voices";
import { statusOf, useWords } from "./words";

interface Props {
  readonly session: Session;
  readonly model: Model;
}

export function Conversation({ session, model }: Props) {
  const { title, composer } = useWords();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const { view, clockAhead } = model;
  const until = view.state === "live" && view.until !== null ? Date.parse(view.until) - clockAhead : null;
  return (
    <main className="conversation">
      <header>
        <Mark />
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        <ConnectionQuality quality={model.quality} />
        {model.liveAt !== null && <Elapsed since={model.liveAt} until={until} />}
      </header>
      {isTrouble(view) && <Banner view={view} model={model} />}
      <Stage session={session} model={model} />
      <aside>
        <Transcript lines={model.lines} live />
        <Composer
          open={view.state !== "ending"}
          heard={isHeard(model)}
          placeholder={model.microphone === "on" ? composer.or : composer.only}
          onSay={(text) => say(session, text)}
        />
      </aside>
    </main>
  );
}

/** Whether there is an agent that reads what is typed now: what nobody reads is lost, though LiveKit takes it. */
function isHeard({ view, agent, record }: Model): boolean {
  const isThere = agent !== null && agent.activity !== "initializing" && record?.state !== "recovering";
  return view.state === "live" || (view.state === "blocked" && isThere);
}

function Stage({ session, model }: Props) {
  const words = useWords();
  const { view } = model;
  const heard = useTracks([Track.Source.Microphone]).find(
    ({ participant }) => participant.identity === model.agent?.identity,
  )?.publication.track;
  const own = session.room.localParticipant.getTrackPublication(Track.Source.Microphone)?.track;
  const live = view.state === "live" ? view : null;
  return (
    <section className="stage" aria-label={words.conversation.stage}>
      {view.state === "blocked" ? (
        <Obstruction session={session} cause={view.cause} />
      ) : (
        <div className="scene" data-state={view.state}>
          <span className="side agent">{words.interviewer}</span>
          <Voices
            agent={heard instanceof RemoteAudioTrack ? heard : undefined}
            user={own instanceof LocalAudioTrack && model.microphone === "on" ? own : undefined}
            activity={live?.agent ?? null}
          />
          <span className="side user">{words.you}</span>
          <SessionStatus
            className={isTrouble(view) ? "status visually-hidden" : "status"}
            words={(each) => statusOf(each, words)}
          />
          <p className="hint">{live !== null && model.microphone !== "on" && words.conversation.muted}</p>
          {live?.needsGesture && (
            <button type="button" className="primary" onClick={() => void session.room.startAudio().catch(() => {})}>
              <SoundIcon />
              {words.conversation.sound}
            </button>
          )}
        </div>
      )}
      <Controls session={session} model={model} />
      <Disclosure />
    </section>
  );
}
