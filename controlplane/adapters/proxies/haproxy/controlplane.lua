-- Orders of a control plane, each with a lease that HAProxy itself keeps: when the one who ordered dies, they end.
--
--     setenv CONTROLPLANE_MAP /etc/haproxy/controlplane.map        (in "global"; the file may be empty)
--     lua-load /etc/haproxy/controlplane.lua
--
-- What it adds to the runtime API ("ms" is how long from now; the same again renews):
--
--     controlplane hold <backend>/<server> <ms> <percent>   0: no request; 1 to 99: that share of its weight; 100: all
--     controlplane rule <key> <ms> <value>                  an entry of the map
--     controlplane release <name>                           of either kind
--     controlplane list                                     what is in force: hold|rule <name> <ms left> <value>
--
-- Maintenance and drain are a person's and are never touched: a server is held down by its health, which HAProxy keeps
-- apart from them. A weight that somebody changes meanwhile is his word about the whole, of which the share is taken.

local map = os.getenv("CONTROLPLANE_MAP") -- HAProxy before 2.9 hands no arguments to a script
local holds, rules = {}, {}
local tick_ms, idle_ms = 20, 200 -- a passing health check cannot bring a server back for longer than a tick

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec // 1000
end

local function server_of(name)
  local backend, server = name:match("^([^/]+)/(.+)$")
  local found = backend and core.backends[backend]
  return found and found.servers[server]
end

local function raise(server) -- unless its own health checks say that it is down: then they bring it back
  local status = server:get_stats()["check_status"] or ""
  if status == "" or status:find("OK") or status:find("INI") or status:find("UNK") then server:check_force_up() end
end

local function weigh(server, hold)
  local weight = server:get_weight()
  if hold.base == nil or weight ~= hold.set then hold.base = weight end
  local share = hold.base * hold.percent // 100
  if share < 1 and hold.base > 0 then share = 1 end
  if share ~= weight then server:set_weight(tostring(share)) end
  hold.set = share
end

local function unweigh(server, hold)
  if hold.base ~= nil and server:get_weight() == hold.set then server:set_weight(tostring(hold.base)) end
  hold.base, hold.set = nil, nil
end

local function press(server, hold)
  if hold.percent == 0 then
    server:check_force_down()
    hold.down = true
    return
  end
  if hold.percent < 100 then weigh(server, hold) else unweigh(server, hold) end -- before it gets calls again
  if hold.down then
    raise(server)
    hold.down = false
  end
end

local function let_go(name)
  local hold, server = holds[name], server_of(name)
  holds[name] = nil
  if hold and server then
    unweigh(server, hold)
    if hold.down then raise(server) end
  end
  if rules[name] then
    rules[name] = nil
    core.del_map(map, name)
  end
end

local function hold(name, ms, percent)
  local server = server_of(name)
  if not server then return "no server " .. name end
  if percent < 0 or percent > 100 then return percent .. " is no share: 0 to 100 is" end
  local held = holds[name] or {}
  holds[name] = held
  held.till, held.percent = now_ms() + ms, percent
  press(server, held)
end

local function rule(name, ms, value)
  if not pcall(core.set_map, map, name, tostring(value)) then
    return "no rule of the configuration reads the map " .. tostring(map)
  end
  rules[name] = { till = now_ms() + ms, value = value }
end

local function order(act)
  return function(applet, ...)
    local _, _, name, ms, value = ...
    ms, value = math.tointeger(tonumber(ms)), math.tointeger(tonumber(value))
    if not name or not ms or not value or ms < 1 then
      applet:send("error: needs a name, milliseconds and a number\n")
      return
    end
    local wrong = act(name, ms, value)
    applet:send(wrong and "error: " .. wrong .. "\n" or "ok\n")
  end
end

core.register_cli({ "controlplane", "hold" }, "controlplane hold <backend>/<server> <ms> <percent>", order(hold))
core.register_cli({ "controlplane", "rule" }, "controlplane rule <key> <ms> <value>", order(rule))

core.register_cli({ "controlplane", "release" }, "controlplane release <name>", function(applet, ...)
  local _, _, name = ...
  if name then let_go(name) end
  applet:send("ok\n")
end)

core.register_cli({ "controlplane", "list" }, "controlplane list", function(applet)
  local now = now_ms()
  for name, held in pairs(holds) do
    applet:send(string.format("hold %s %d %d\n", name, held.till - now, held.percent))
  end
  for name, ruled in pairs(rules) do
    applet:send(string.format("rule %s %d %d\n", name, ruled.till - now, ruled.value))
  end
end)

core.register_task(function()
  while true do
    local now, over = now_ms(), {}
    for name, held in pairs(holds) do
      local server = server_of(name)
      if held.till <= now or not server then over[#over + 1] = name else press(server, held) end
    end
    for name, ruled in pairs(rules) do
      if ruled.till <= now then over[#over + 1] = name end
    end
    for _, name in ipairs(over) do let_go(name) end
    core.msleep(next(holds) and tick_ms or idle_ms)
  end
end)
