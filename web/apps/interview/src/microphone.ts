/** Opening the microphone before joining, so that a refusal is dealt with while nobody waits. */
import { createLocalAudioTrack, type LocalAudioTrack, MediaDeviceFailure } from "livekit-client";
import { useCallback, useEffect, useRef, useState } from "react";

export type Preview =
  | { readonly is: "closed" }
  | { readonly is: "opening" }
  | { readonly is: "open"; readonly track: LocalAudioTrack }
  | { readonly is: "failed"; readonly why: string };

/** A microphone to try out; it is closed when the component goes away. */
export function useMicrophonePreview() {
  const [preview, setPreview] = useState<Preview>({ is: "closed" });
  const opened = useRef<LocalAudioTrack | null>(null);

  const close = useCallback(() => {
    opened.current?.stop();
    opened.current = null;
  }, []);

  const open = useCallback(
    async (deviceId: string | null): Promise<boolean> => {
      setPreview({ is: "opening" });
      close();
      try {
        const track = await createLocalAudioTrack(deviceId === null ? {} : { deviceId });
        opened.current = track;
        setPreview({ is: "open", track });
        return true;
      } catch (error) {
        setPreview({ is: "failed", why: reasonOf(error) });
        return false;
      }
    },
    [close],
  );

  useEffect(() => close, [close]);
  return { preview, open };
}

function reasonOf(error: unknown): string {
  switch (MediaDeviceFailure.getFailure(error)) {
    case MediaDeviceFailure.PermissionDenied:
      return "Your browser does not let this page use the microphone. Allow it beside the address bar, then try again.";
    case MediaDeviceFailure.NotFound:
      return "No microphone was found. Plug one in and try again.";
    case MediaDeviceFailure.DeviceInUse:
      return "Another application is using the microphone. Close it and try again.";
    default:
      return "The microphone could not be opened.";
  }
}
