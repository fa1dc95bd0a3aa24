/** The conversation in writing, for pages that show it themselves. */
export { countAnswers, type Memory, say, transcript } from "@roomkeeper/client/transcript";
