--[[ Defaults of the token blueprint. Genesis puts the token program behind this text: one ledger, whoever loads it.

Everything may be set before loading; the name of the coin is the name of the process. The process itself holds the
first ten thousand coins and alone may mint more.
]]

local KEEP_INBOX = true
Denomination = Denomination or 12
Ticker = Ticker or "PNTS"
Logo = Logo or ""
Minter = Minter or ao.id
if not Balances then Balances = { [ao.id] = "10000" .. ("0"):rep(tonumber(Denomination)) } end
if not TotalSupply then
  local sum = require(".bint")(256)(0)
  for _, units in pairs(Balances) do sum = sum + require(".bint")(256)(units) end
  TotalSupply = tostring(sum)
end
print("Token ready: " .. TotalSupply .. " units of " .. Ticker)

