// The reference loader, told to evaluate messages: node reference.cjs <job.json>
// The job names the module, its format, the environment and the messages; results go to standard output, a line each.
// As the reference compute unit does, it drops the instance on which a message failed, and the memory with it.
const fs = require('fs')
const { performance } = require('perf_hooks') // older formats' loaders replace the clocks of the process
const job = JSON.parse(fs.readFileSync(process.argv[2]))
// What runs the second format's `main` tells it the path of the running script, and whatever stands after it.
process.argv.splice(1, process.argv.length, './this.program')
const AoLoader = require(job.loader)
const write = (value) => fs.writeSync(1, JSON.stringify(value) + '\n')

const makeInstance = () => AoLoader(fs.readFileSync(job.module), {
  format: job.format, computeLimit: job.gas, memoryLimit: '2-gb', inputEncoding: 'JSON-1', outputEncoding: 'JSON-1',
  UNSAFE_MEMORY: !job.copies
})

// The memory after the last message that went well. Without `copies` the loader shows its living memory, which is
// copied to the same place every time: that is much cheaper than a new copy for each message.
let memory = null
let place = new Uint8Array(0)
const keep = job.copies
  ? (given) => { memory = given }
  : (living) => {
      if (living.byteLength > place.length) place = new Uint8Array(living.byteLength)
      place.set(new Uint8Array(living))
      memory = place.subarray(0, living.byteLength)
    }

async function main () {
  let handle = null
  for (const message of job.messages) {
    const fresh = handle === null
    if (fresh) handle = await makeInstance()
    const began = performance.now()
    const used = process.cpuUsage()
    try {
      const { Memory, ...result } = await handle(job.copies || fresh ? memory : null, message, job.environment)
      const { user, system } = process.cpuUsage(used)
      write({ ...result, seconds: (performance.now() - began) / 1e3, processor_seconds: (user + system) / 1e6 })
      if (result.Error) handle = null
      else keep(Memory)
    } catch (thrown) {
      handle = null
      write({ thrown: String((thrown && thrown.message) || thrown) })
    }
  }
}
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
