/** Drawn on a 24 px grid with round strokes; they decorate labels and are never the only label. */
import type { ReactNode } from "react";

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

export const Mark = () => (
  <svg className="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <rect width="32" height="32" rx="9" />
    <path d="M8.5 14v4M13.5 10.5v11M18.5 8v16M23.5 13v6" />
  </svg>
);

export const MicrophoneIcon = ({ off = false }: { off?: boolean }) => (
  <Icon>
    <path d="M12 3.5a3 3 0 0 1 3 3V12a3 3 0 0 1-6 0V6.5a3 3 0 0 1 3-3Z" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
    {off && <path className="slash" d="m4 4 16 16" />}
  </Icon>
);

export const SendIcon = () => (
  <Icon>
    <path d="M12 19.5v-15M5.5 11 12 4.5l6.5 6.5" />
  </Icon>
);

export const SoundIcon = () => (
  <Icon>
    <path d="M4.5 9.5v5h3.5l4.5 4v-13L8 9.5H4.5ZM16 9a4.2 4.2 0 0 1 0 6M18.5 6.5a7.8 7.8 0 0 1 0 11" />
  </Icon>
);

export const PlugIcon = () => (
  <Icon>
    <path d="M9 3.5v5M15 3.5v5M6.5 8.5h11v3a5.5 5.5 0 0 1-11 0v-3ZM12 17v4" />
  </Icon>
);

export const PauseIcon = () => (
  <Icon>
    <path d="M9 5.5v13M15 5.5v13" />
  </Icon>
);

export const ChevronIcon = () => (
  <Icon>
    <path d="m7 10 5 5 5-5" />
  </Icon>
);
