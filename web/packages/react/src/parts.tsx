/** Small parts without a style of their own. Each works in a `RoomkeeperRoom` and in any other room. */
import type { Ended, View } from "@roomkeeper/client";
import type { ComponentProps, ReactNode } from "react";
import { useRoomkeeper } from "./use-roomkeeper.js";

interface Anywhere {
  /** Where the control plane's calls begin; for a room that is not in a `RoomkeeperRoom`. */
  readonly api?: string | undefined;
}

interface StatusProps extends Anywhere, Omit<ComponentProps<"p">, "children"> {
  /** One sentence about what is shown; `statusOf` of `@roomkeeper/react/en` or of another language. */
  readonly words: (view: View) => string;
}

/** Says how things stand, to the eye and to the screen reader. */
export function SessionStatus({ words, api, ...props }: StatusProps) {
  const view = useRoomkeeper({ api });
  return (
    <p {...props} role="status" data-state={view.state}>
      {words(view)}
    </p>
  );
}

/** When it appears. */
const focus = (element: HTMLElement | null) => element?.focus();

interface EndScreenProps extends Anywhere, Omit<ComponentProps<"section">, "children" | "title"> {
  readonly title?: ReactNode;
  /** Why it is over; the message that came with the end if left out. */
  readonly words?: (ended: Ended) => ReactNode;
  /** What comes next. */
  readonly children?: ReactNode;
}

/** Nothing until the end; then that it is over, and why. Takes the focus, so that a screen reader says it. */
export function EndScreen({ title = "The conversation is over", words, api, children, ...props }: EndScreenProps) {
  const view = useRoomkeeper({ api });
  if (view.state !== "ended") return null;
  return (
    <section {...props} data-reason={view.reason ?? ""} data-outcome={view.outcome ?? ""}>
      <h1 ref={focus} tabIndex={-1}>
        {title}
      </h1>
      <p>{words ? words(view) : view.message}</p>
      {view.by === "operator" && view.detail && <p>{view.detail}</p>}
      {children}
    </section>
  );
}

interface ButtonProps extends Anywhere, ComponentProps<"button"> {}

/** Ends the session when it is pressed. */
export function EndButton({ children = "End", disabled, onClick, api, ...props }: ButtonProps) {
  const { state, end } = useRoomkeeper({ api });
  return (
    <button
      type="button"
      {...props}
      disabled={disabled || state === "ending" || state === "ended"}
      onClick={(event) => {
        onClick?.(event);
        if (!event.defaultPrevented) void end();
      }}
    >
      {children}
    </button>
  );
}
