import { useMediaDeviceSelect } from "@livekit/components-react";
import { ChevronIcon } from "./icons";

interface Props {
  readonly label: string;
  readonly compact?: boolean;
  /** Ids as the browser gives them; null for whatever the browser prefers. */
  readonly chosen: string | null;
  readonly onChoose: (deviceId: string) => void;
}

/** The microphones there are. Mount it when the page may use one: until then they have no names. */
export function DeviceSelect({ label, compact = false, chosen, onChoose }: Props) {
  const { devices } = useMediaDeviceSelect({ kind: "audioinput" });
  const named = devices.filter(({ deviceId }) => deviceId !== "");
  return (
    <span className={compact ? "select compact" : "select"}>
      <select
        aria-label={label}
        title={label}
        value={chosen ?? named[0]?.deviceId ?? ""}
        onChange={(event) => onChoose(event.target.value)}
      >
        {named.map(({ deviceId, label: name }) => (
          <option key={deviceId} value={deviceId}>
            {name || "Microphone"}
          </option>
        ))}
      </select>
      <ChevronIcon />
    </span>
  );
}
