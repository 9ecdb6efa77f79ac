// The reference loader, told to evaluate messages: node reference.cjs <job.json>
// The job names the module, its format, the environment and the messages; results go to standard output, a line each.
// As the reference compute unit does, the memory of a failed message is thrown away.
const fs = require('fs')
const { performance } = require('perf_hooks') // older formats' loaders replace the clocks of the process
const job = JSON.parse(fs.readFileSync(process.argv[2]))
const AoLoader = require(job.loader)
const write = (value) => fs.writeSync(1, JSON.stringify(value) + '\n')

async function main () {
  const handle = await AoLoader(fs.readFileSync(job.module), {
    format: job.format, computeLimit: job.gas, memoryLimit: '2-gb', inputEncoding: 'JSON-1', outputEncoding: 'JSON-1'
  })
  let memory = null
  let restore = false
  for (const message of job.messages) {
    const began = performance.now()
    try {
      const { Memory, ...result } = await handle(job.copies || restore ? memory : null, message, job.environment)
      restore = Boolean(result.Error)
      if (!restore) memory = Memory
      write({ ...result, seconds: (performance.now() - began) / 1e3 })
    } catch (thrown) {
      restore = true
      write({ thrown: String((thrown && thrown.message) || thrown) })
    }
  }
}
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
