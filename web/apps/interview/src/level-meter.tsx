import { createAudioAnalyser, type LocalAudioTrack } from "livekit-client";
import { useEffect, useRef } from "react";

const STEPS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
/** The loudness (0 to 1) of a voice close to the microphone. */
const LOUD = 0.5;

/** Shows that the microphone hears something. */
export function LevelMeter({ track, label }: { track: LocalAudioTrack; label: string }) {
  const meter = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { calculateVolume, cleanup } = createAudioAnalyser(track, { fftSize: 256, maxDecibels: -20 });
    let frame = requestAnimationFrame(function show() {
      const lit = Math.round(Math.min(1, calculateVolume() / LOUD) * STEPS.length);
      [...(meter.current?.children ?? [])].forEach((step, index) => {
        step.classList.toggle("lit", index < lit);
      });
      frame = requestAnimationFrame(show);
    });
    return () => {
      cancelAnimationFrame(frame);
      void cleanup();
    };
  }, [track]);
  return (
    <div className="level" ref={meter} role="img" aria-label={label}>
      {STEPS.map((step) => (
        <i key={step} />
      ))}
    </div>
  );
}
