-- First in, first out. `getHead` and `getTail` count what has ever been put and taken.

return function()
  local head, tail, values, queue = 0, 0, {}, {}

  function queue.push(value)
    head = head + 1
    values[head] = value
  end

  function queue.pop()
    if head == tail then
      return nil
    end
    tail = tail + 1
    local value = values[tail]
    values[tail] = nil
    return value
  end

  function queue.size() return head - tail end

  function queue.getHead() return head end

  function queue.getTail() return tail end

  function queue.reset()
    head, tail, values = 0, 0, {}
  end

  return queue
end
