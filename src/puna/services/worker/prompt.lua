-- How a prompt is put before a model. It comes before worker.lua, which does so to answer, and before herder.lua, which
-- does so to count the tokens that it sells: both must get the same ones.

local json = require("json")

local ROLE_MARKERS = { "<|system|>", "<|user|>", "<|assistant|>" }

--- A program that begins with a role marker, as the published ones do, has laid out the conversation itself.
local function is_laid_out(prompt)
  for _, marker in ipairs(ROLE_MARKERS) do
    if prompt:sub(1, #marker) == marker then return true end
  end
  return false
end

--- What upstream workers get of a system text: it stands before the prompt.
local function joined(system, prompt) return system and system .. "\n\n" .. prompt or prompt end

--- Put a prompt before the model. Without a format it is what a user says, and goes where the model's own template
-- puts the user's words; "chat" is a conversation, a JSON array of {role, content}; "text" is to be continued as it is.
local function lay_out(llama, system, prompt, format)
  local template = llama.model().template
  if format == "chat" then
    local messages = json.decode(prompt)
    if template then return llama.chat(messages) end
    local contents = {}
    for index, message in ipairs(messages) do contents[index] = message.content end
    return llama.setPrompt(table.concat(contents, "\n\n"))
  end
  if format == "text" or is_laid_out(prompt) or not template then return llama.setPrompt(joined(system, prompt)) end
  llama.chat({ system = system, user = prompt })
end
