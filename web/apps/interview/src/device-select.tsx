import { useMediaDeviceSelect } from "@livekit/components-react";
import type { ReactNode } from "react";
import { ChevronIcon } from "./icons";

interface Props {
  readonly kind: "audioinput" | "audiooutput";
  readonly label: string;
  /** Beside something that says what it is for. */
  readonly compact?: boolean;
  /** In the place of the chosen device's name. */
  readonly icon?: ReactNode;
  /** Ids as the browser gives them; null for whatever the browser prefers. */
  readonly chosen: string | null;
  readonly onChoose: (deviceId: string) => void;
}

/** The devices there are. Mount it when the page may use one: until then they have no names. */
export function DeviceSelect({ kind, label, compact = false, icon, chosen, onChoose }: Props) {
  const { devices } = useMediaDeviceSelect({ kind });
  const named = devices.filter(({ deviceId }) => deviceId !== "");
  if (icon !== undefined && named.length === 0) return null;
  const style = compact ? "select compact" : icon === undefined ? "select" : "select compact alone";
  return (
    <span className={style}>
      {icon}
      <select
        aria-label={label}
        title={label}
        value={chosen ?? named[0]?.deviceId ?? ""}
        onChange={(event) => onChoose(event.target.value)}
      >
        {named.map(({ deviceId, label: name }) => (
          <option key={deviceId} value={deviceId}>
            {name || label}
          </option>
        ))}
      </select>
      {icon === undefined && <ChevronIcon />}
    </span>
  );
}
