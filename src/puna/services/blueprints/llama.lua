-- `Llama`: the client of this network's herd. Genesis puts the package itself before this text, as a module.

Llama = require("@puna/Llama-Herder")
Llama.getPrices()
return 'Llama ready: Llama.run("What is the meaning of life?", 20, function(text) ... end)'
