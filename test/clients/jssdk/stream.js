// Reads a streamed answer of an endpoint with the AWS SDK for JavaScript v3, as
// gosdk does with the one for Go:
//
//   node stream.js ENDPOINT BODY FOLDER
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { InvokeEndpointWithResponseStreamCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";

const [endpoint, body, folder] = process.argv.slice(2);
const client = new SageMakerRuntimeClient({ endpoint: process.env.AWS_ENDPOINT_URL });
const answer = await client.send(
  new InvokeEndpointWithResponseStreamCommand({ EndpointName: endpoint, Body: body, ContentType: "application/json" }),
);
console.log("variant", answer.InvokedProductionVariant);
try {
  let n = 0;
  for await (const event of answer.Body) {
    process.stdout.write("part " + new TextDecoder().decode(event.PayloadPart.Bytes));
    writeFileSync(join(folder, String(n++)), "");
  }
  console.log("end");
} catch (error) {
  if (error.name !== "ModelStreamError") throw error;
  console.log("broke", error.name, error.ErrorCode);
}
client.destroy(); // else the connection of a stream that broke keeps the process
