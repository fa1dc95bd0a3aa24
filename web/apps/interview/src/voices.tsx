import type { AgentActivity } from "@roomkeeper/react";
import { createAudioAnalyser, type LocalAudioTrack, type RemoteAudioTrack, TrackEvent } from "livekit-client";
import { useEffect, useRef } from "react";
import { approach, COLUMNS, columnsOf, thinkingWave } from "./figure";

type Track = LocalAudioTrack | RemoteAudioTrack;

interface Props {
  readonly agent: Track | undefined;
  readonly user: Track | undefined;
  readonly activity: AgentActivity | null;
}

const SILENCE: readonly number[] = Array.from({ length: COLUMNS }, () => 0);
/** What stands for a voice when the user wants no motion. */
const STILL = Array.from(
  { length: COLUMNS },
  (_, column) => 0.32 * Math.sin((Math.PI * (column + 0.5)) / COLUMNS) ** 2,
);

/** Both voices as they sound; decoration, everything it tells is said in words as well. */
export function Voices({ agent, user, activity }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const doing = useRef(activity);

  useEffect(() => {
    doing.current = activity;
  }, [activity]);

  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const ears = { agent: listenTo(agent), user: listenTo(user) };
    // Another device: the track goes on, with another source.
    const listenAnew = () => {
      ears.user?.stop();
      ears.user = listenTo(user);
    };
    user?.on(TrackEvent.Restarted, listenAnew);
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    let above = SILENCE;
    let below = SILENCE;
    let frame = requestAnimationFrame(function show(now) {
      if (calm.matches) {
        above = doing.current === "speaking" ? STILL : SILENCE;
        below = SILENCE;
      } else {
        const voice = ears.agent?.hear() ?? SILENCE;
        above = approach(above, doing.current === "thinking" ? thinkingWave(now / 1000) : voice);
        below = approach(below, ears.user?.hear() ?? SILENCE);
      }
      draw(context, above, below);
      frame = requestAnimationFrame(show);
    });
    return () => {
      cancelAnimationFrame(frame);
      user?.off(TrackEvent.Restarted, listenAnew);
      ears.agent?.stop();
      ears.user?.stop();
    };
  }, [agent, user]);

  return (
    <div className="voices" aria-hidden="true">
      <canvas ref={canvas} />
    </div>
  );
}

function listenTo(track: Track | undefined): { hear: () => number[]; stop: () => void } | null {
  if (track === undefined) return null;
  const { analyser, cleanup } = createAudioAnalyser(track, {
    fftSize: 1024,
    smoothingTimeConstant: 0.6,
    minDecibels: -95,
    maxDecibels: -22,
  });
  const spectrum = new Uint8Array(analyser.frequencyBinCount);
  return {
    hear: () => {
      analyser.getByteFrequencyData(spectrum);
      return columnsOf(spectrum, analyser.context.sampleRate);
    },
    stop: () => void cleanup(),
  };
}

function draw(context: CanvasRenderingContext2D, above: readonly number[], below: readonly number[]): void {
  const { canvas } = context;
  const { clientWidth, clientHeight } = canvas;
  const scale = window.devicePixelRatio;
  if (canvas.width !== clientWidth * scale || canvas.height !== clientHeight * scale) {
    canvas.width = clientWidth * scale;
    canvas.height = clientHeight * scale;
  }
  // Read anew each time: the colours follow the system from light to dark.
  const style = getComputedStyle(canvas);
  const pitch = clientWidth / COLUMNS;
  const width = pitch * 0.52;
  const middle = clientHeight / 2;
  const reach = middle - width;
  const gap = 1.5;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, clientWidth, clientHeight);
  const column = (index: number, height: number, direction: 1 | -1) => {
    const length = Math.max(width, height * reach);
    const left = index * pitch + (pitch - width) / 2;
    const top = direction === -1 ? middle - gap - length : middle + gap;
    context.beginPath();
    context.roundRect(left, top, width, length, width / 2);
    context.fill();
  };
  context.fillStyle = style.getPropertyValue("--voice-agent");
  above.forEach((height, index) => {
    column(index, height, -1);
  });
  context.fillStyle = style.getPropertyValue("--voice-user");
  below.forEach((height, index) => {
    column(index, height, 1);
  });
}
