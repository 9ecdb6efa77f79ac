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
  format: job.format, computeLimit: job.gas, memoryLimit: '2-gb', inputEncoding: 'JSON-1', outputEncoding: 'JSON-1'
})

async function main () {
  let memory = null
  let handle = null
  for (const message of job.messages) {
    const fresh = handle === null
    if (fresh) handle = await makeInstance()
    const began = performance.now()
    try {
      const { Memory, ...result } = await handle(job.copies || fresh ? memory : null, message, job.environment)
      if (result.Error) handle = null
      else memory = Memory
      write({ ...result, seconds: (performance.now() - began) / 1e3 })
    } catch (thrown) {
      handle = null
      write({ thrown: String((thrown && thrown.message) || thrown) })
    }
  }
}
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
