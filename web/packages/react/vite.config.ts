import { library } from "../library";

export default library(
  ["@livekit/components-react", "@roomkeeper/client", "livekit-client", "react"],
  "transcript",
  "en",
  "de",
);
