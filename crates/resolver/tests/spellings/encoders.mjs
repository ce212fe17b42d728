// Encodes texts with Node's own encoders: lines of JSON [text, [encoder, …]] in, lines of JSON out.
import * as readline from "node:readline";
import * as querystring from "node:querystring";
import * as util from "node:util";

const url = (change) => (text) => {
  const url = new URL("https://host.example/");
  change(url, text);
  return url.href;
};
const first = {
  base64: (text) => Buffer.from(text).toString("base64"),
  "base64-url": (text) => Buffer.from(text).toString("base64url"),
  hex: (text) => Buffer.from(text).toString("hex"),
};
const any = {
  json: JSON.stringify,
  component: encodeURIComponent,
  uri: encodeURI,
  escape: escape,
  querystring: querystring.escape,
  "url-password": url((url, text) => (url.password = text)),
  "url-query": url((url, text) => url.searchParams.set("q", text)),
  inspect: (text) => util.inspect(text),
  "inspect-object": (text) => util.inspect({ text }, { breakLength: Infinity, maxStringLength: null }),
};

if (process.argv[2] === "--list") {
  console.log(JSON.stringify([Object.keys(first), Object.keys(any)]));
} else {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [text, chain] = JSON.parse(line);
    let encoded = text;
    try {
      for (const name of chain) encoded = (first[name] ?? any[name])(encoded);
    } catch {
      encoded = null;
    }
    console.log(JSON.stringify(encoded));
  }
}
