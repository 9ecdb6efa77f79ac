-- `msg.reply` and correlation for processes that are too old to have them. Harmless on all others.

local function add_reply(msg)
  if msg.reply then return end
  local function tag(name) return msg[name] or msg.Tags and msg.Tags[name] end
  msg.reply = function(answer)
    answer.Target = tag("Reply-To") or answer.Target or msg.From
    answer.Tags = answer.Tags or {}
    answer["X-Reference"] = tag("X-Reference") or tag("Reference") or tag("Ref_")
    answer["X-Origin"] = tag("X-Origin")
    return ao.send(answer)
  end
end

-- The number means "go on" in every version of the handler list.
Handlers.prepend("_patch_reply", function() return 1 end, add_reply)
