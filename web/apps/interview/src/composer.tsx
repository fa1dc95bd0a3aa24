import { type FormEvent, useId, useState } from "react";
import { SendIcon } from "./icons";

interface Props {
  readonly enabled: boolean;
  readonly placeholder: string;
  /** Resolves to whether the text was sent. */
  readonly onSay: (text: string) => Promise<boolean>;
}

/** Answers in writing. */
export function Composer({ enabled, placeholder, onSay }: Props) {
  const [text, setText] = useState("");
  const [failed, setFailed] = useState(false);
  const problem = useId();
  const send = async (event: FormEvent) => {
    event.preventDefault();
    const said = text.trim();
    if (said === "" || !enabled) return;
    setText("");
    const sent = await onSay(said);
    setFailed(!sent);
    if (!sent) setText(said);
  };
  return (
    <form className="composer" onSubmit={send}>
      {failed && (
        <p className="problem" role="alert" id={problem}>
          That was not sent. Try once more.
        </p>
      )}
      <div>
        <input
          type="text"
          aria-label="Type an answer"
          aria-describedby={failed ? problem : undefined}
          placeholder={placeholder}
          autoComplete="off"
          enterKeyHint="send"
          maxLength={4000}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <button type="submit" className="send" aria-label="Send" disabled={!enabled || text.trim() === ""}>
          <SendIcon />
        </button>
      </div>
    </form>
  );
}
