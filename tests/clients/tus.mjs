// Uploads files with tus-js-client as it is published; prints what each came to. SLUICE_TUS: [{file, metadata, chunk}, …].
import { createRequire } from "node:module";
import fs from "node:fs";

const require = createRequire(process.env.SLUICE_NODE + "/");
const tus = require("tus-js-client");
const headers = { Authorization: "Bearer " + process.env.SLUICE_TOKEN };

function upload({ file, metadata, chunk }) {
    return new Promise((resolve) => {
        const told = { retries: 0 };
        const one = new tus.Upload(fs.createReadStream(file), {
            endpoint: process.env.SLUICE_BASE + "/v1/uploads/sessions",
            uploadSize: fs.statSync(file).size,
            chunkSize: chunk,
            metadata,
            headers,
            retryDelays: [20, 50, 100, 200, 400, 800, 1000, 1000, 1000, 1000],
            onShouldRetry(error, attempt, options) {
                const status = error.originalResponse ? error.originalResponse.getStatus() : 0;
                told.retries += 1;
                return status < 400 || status >= 500 || status === 409 || status === 423;
            },
            onAfterResponse(request, response) {
                told.result = response.getHeader("Sluice-Upload") || told.result;
            },
            onError(error) {
                resolve({ ...told, error: String(error), status: error.originalResponse ? error.originalResponse.getStatus() : null });
            },
            onSuccess() {
                resolve({ ...told, url: one.url });
            },
        });
        one.start();
    });
}

const answers = [];
for (const order of JSON.parse(process.env.SLUICE_TUS)) answers.push(await upload(order));
console.log(JSON.stringify(answers));
