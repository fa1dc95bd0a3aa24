/** The conversation in writing: what was said and typed, by whom, in the order in which each began. */

export type Speaker = "user" | "agent";

export interface Line {
  readonly id: string;
  readonly speaker: Speaker;
  readonly text: string;
  /** Still growing or still being corrected when false. */
  readonly final: boolean;
  readonly typed: boolean;
}

/** Replace the line of the same id, or append. */
export function withLine(lines: readonly Line[], line: Line): readonly Line[] {
  const index = lines.findIndex((each) => each.id === line.id);
  if (lines[index]?.final === true && !line.final) return lines; // a guess that was overtaken by the result
  if (index === -1) return line.text.trim() === "" ? lines : [...lines, line];
  // A corrected recognition may turn out to have been no speech at all.
  if (line.text.trim() === "" && line.final) return lines.toSpliced(index, 1);
  return lines.with(index, line);
}

/**
 * A whole sentence, or more than one. What the agent began to say while the user was still speaking stays a fragment:
 * no question was asked, so what follows is still the same answer.
 */
const WHOLE = /^.{24,}\p{Sentence_Terminal}\P{Letter}*$/su;

/** How many times the user took the turn after the agent had said something whole. */
export function countAnswers(lines: readonly Line[]): number {
  let answers = 0;
  let asked = false;
  for (const { speaker, text } of lines) {
    if (speaker === "agent") asked ||= WHOLE.test(text);
    else if (asked) {
      answers += 1;
      asked = false;
    }
  }
  return answers;
}
