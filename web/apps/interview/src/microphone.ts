/** Opening the microphone before joining, so that a refusal is dealt with while nobody waits. */
import { createLocalAudioTrack, type LocalAudioTrack, MediaDeviceFailure } from "livekit-client";
import { useCallback, useEffect, useRef, useState } from "react";

export type Preview =
  | { readonly is: "closed" }
  | { readonly is: "opening" }
  | { readonly is: "open"; readonly track: LocalAudioTrack }
  | { readonly is: "failed"; readonly why: ReturnType<typeof failureOf> };

/** A microphone to try out; it is closed when the component goes away. */
export function useMicrophonePreview() {
  const [preview, setPreview] = useState<Preview>({ is: "closed" });
  const opened = useRef<LocalAudioTrack | null>(null);
  const wanted = useRef(0);

  const close = useCallback(() => {
    wanted.current += 1;
    opened.current?.stop();
    opened.current = null;
  }, []);

  const open = useCallback(
    async (deviceId: string | null): Promise<boolean> => {
      setPreview({ is: "opening" });
      close();
      const mine = wanted.current;
      try {
        const track = await createLocalAudioTrack(deviceId === null ? {} : { deviceId });
        if (mine !== wanted.current) {
          // The user chose another one, or went on without, before the browser had asked.
          track.stop();
          return false;
        }
        opened.current = track;
        setPreview({ is: "open", track });
        return true;
      } catch (error) {
        if (mine !== wanted.current) return false;
        setPreview({ is: "failed", why: failureOf(error) });
        return false;
      }
    },
    [close],
  );

  useEffect(() => close, [close]);
  return { preview, open };
}

function failureOf(error: unknown): "refused" | "missing" | "taken" | "unusable" {
  switch (MediaDeviceFailure.getFailure(error)) {
    case MediaDeviceFailure.PermissionDenied:
      return "refused";
    case MediaDeviceFailure.NotFound:
      return "missing";
    case MediaDeviceFailure.DeviceInUse:
      return "taken";
    default:
      return "unusable";
  }
}
