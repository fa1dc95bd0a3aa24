import { type FormEvent, useEffect, useId, useState } from "react";
import { SendIcon } from "./icons";
import { useWords } from "./words";

interface Props {
  /** Whether anybody reads what is typed. */
  readonly open: boolean;
  /** While false, what is sent waits. */
  readonly heard: boolean;
  readonly placeholder: string;
  /** Resolves to whether the text was sent. */
  readonly onSay: (text: string) => Promise<boolean>;
}

type Delivery = "none" | "waiting" | "failed";

/** Answers in writing. */
export function Composer({ open, heard, placeholder, onSay }: Props) {
  const { composer } = useWords();
  const [text, setText] = useState("");
  const [delivery, setDelivery] = useState<Delivery>("none");
  const notice = useId();
  const said = text.trim();

  const send = async () => {
    setText("");
    setDelivery("none");
    if (await onSay(said)) return;
    setText(said);
    setDelivery("failed");
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (said === "") return;
    if (heard) void send();
    else setDelivery("waiting");
  };
  useEffect(() => {
    if (heard && delivery === "waiting") void send();
  });

  return (
    <form className="composer" onSubmit={submit}>
      <p className={delivery === "failed" ? "problem" : "hint"} aria-live="polite" id={notice}>
        {delivery === "none" ? "" : composer[delivery]}
      </p>
      <div>
        <input
          type="text"
          aria-label={composer.label}
          aria-describedby={notice}
          placeholder={placeholder}
          autoComplete="off"
          enterKeyHint="send"
          maxLength={4000}
          disabled={!open}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setDelivery("none");
          }}
        />
        <button type="submit" className="send" aria-label={composer.send} disabled={!open || said === ""}>
          <SendIcon />
        </button>
      </div>
    </form>
  );
}
