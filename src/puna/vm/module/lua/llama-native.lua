-- `_llama`: the names of the native backend that some programs call below the `Llama` library.

local Llama = require(".llama")

return {
  info = Llama.info,
  load = function(path)
    return pcall(Llama.load, path) and 0 or 1
  end,
  set_prompt = Llama.setPrompt,
  add = Llama.add,
  next = Llama.next,
  run = Llama.run,
  stop = Llama.stop,
  save_state = Llama.saveState,
  load_state = Llama.loadState,
  clear_state = Llama.clearState,
  set_temp = Llama.setTemp,
  set_seed = Llama.setSeed,
}
