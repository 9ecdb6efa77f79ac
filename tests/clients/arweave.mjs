// What a program written with arweave js does against a gateway. Prints what it saw, as one JSON object.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const Arweave = require("arweave");
const [, , url, walletPath] = process.argv;
const { hostname, port, protocol } = new URL(url);
const arweave = Arweave.init({ host: hostname, port, protocol: protocol.slice(0, -1) });
const wallet = JSON.parse(readFileSync(walletPath));
const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");
const mine = () => fetch(url + "/mine");
const seen = {};

const address = await arweave.wallets.jwkToAddress(wallet);
seen.address = address;
seen.balance = await arweave.wallets.getBalance(address);
seen.price = await arweave.transactions.getPrice(10);
seen.info = await arweave.network.getInfo();

// Ten bytes, inline.
const small = await arweave.createTransaction({ data: "ten bytes!" }, wallet);
small.addTag("Content-Type", "text/plain");
await arweave.transactions.sign(small, wallet);
seen.smallPosted = await arweave.transactions.post(small).then((r) => [r.status, r.data]);
seen.pending = (await arweave.transactions.getStatus(small.id)).status;
await mine();
seen.status = await arweave.transactions.getStatus(small.id);
seen.smallText = await arweave.transactions.getData(small.id, { decode: true, string: true });
const read = await arweave.transactions.get(small.id);
seen.smallVerifies = await arweave.transactions.verify(read);
seen.tag = read.get("tags")[0].get("value", { decode: true, string: true });
seen.lastTx = (await arweave.wallets.getLastTransactionID(address)) === small.id;

// 600,000 bytes, in chunks.
const bytes = new Uint8Array(600000).map((_, at) => (at * 7919) >> 3);
const big = await arweave.createTransaction({ data: bytes }, wallet);
await arweave.transactions.sign(big, wallet);
const uploader = await arweave.transactions.getUploader(big);
while (!uploader.isComplete) await uploader.uploadChunk();
seen.bigUploaded = [uploader.lastResponseStatus, uploader.totalChunks];
await mine();
seen.bigByChunks = sha(await arweave.chunks.downloadChunkedData(big.id)) === sha(bytes);
seen.bigByGetData = sha(await arweave.transactions.getData(big.id, { decode: true })) === sha(bytes);
seen.offset = await arweave.chunks.getTransactionOffset(big.id);

// Money to another wallet.
const other = "C".repeat(42) + "A";
const gift = await arweave.createTransaction({ target: other, quantity: arweave.ar.arToWinston("1.5") }, wallet);
await arweave.transactions.sign(gift, wallet);
seen.giftPosted = (await arweave.transactions.post(gift)).status;
await mine();
seen.given = await arweave.wallets.getBalance(other);

// What nobody has.
seen.unknown = (await arweave.transactions.getStatus("A".repeat(43))).status;
seen.block = (await arweave.blocks.getByHeight(1)).height;
seen.current = (await arweave.blocks.getCurrent()).indep_hash;
seen.query = (await arweave.api.post("/graphql", { query: `{ transactions(owners: ["${address}"], sort: HEIGHT_ASC) {
  edges { node { id } } } }` })).data.data.transactions.edges.map((edge) => edge.node.id);
seen.ids = [small.id, big.id, gift.id];
console.log(JSON.stringify(seen));
