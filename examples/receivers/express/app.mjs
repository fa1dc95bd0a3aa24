// Takes reports of Roomkeeper: verified, and each once.
import express from "express";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.REPORT_SECRET);
const taken = new Set(); // yours: a unique column, written in the transaction that uses the report

const app = express();
app.post("/reports", express.text({ type: "*/*", limit: "16mb" }), (request, response) => {
  let event;
  try {
    event = webhook.verify(request.body, request.headers);
  } catch {
    return response.sendStatus(401);
  }
  if (!taken.has(request.headers["webhook-id"])) {
    taken.add(request.headers["webhook-id"]);
    console.log(event.type, event.data.session, event.data.reason);
  }
  return response.sendStatus(204); // anything but 2xx is sent again for three days
});
const server = app.listen(Number(process.env.PORT ?? 9000), "127.0.0.1", () =>
  console.log("listens", server.address().port),
);
