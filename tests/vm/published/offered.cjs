// What the reference loader offers to modules: node offered.cjs LOADER MODULE FORMAT
// Prints the names of the functions that a module of the format may import.
const fs = require('fs')
const [loader, module_, format] = process.argv.slice(2)
const AoLoader = require(loader)

WebAssembly.instantiate = (binary, imports) => {
  const rooms = Object.entries(imports).map(([room, functions]) => [room, Object.keys(functions)])
  fs.writeSync(1, JSON.stringify(Object.fromEntries(rooms)))
  process.exit(0)
}
AoLoader(fs.readFileSync(module_), { format })
