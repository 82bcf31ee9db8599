-- Wireshark dissector of the device events of vnic-trace/1; written by `vnic trace export --format lua`.
-- tshark -X lua_script:vnic.lua -r run.pcapng -Y 'vnic.reg == "QP_TX_TAIL[0]" || tcp'

@TABLES@

local vnic = Proto("vnic", "VNIC device event")

local fields = {
    version = ProtoField.uint8("vnic.version", "Version"),
    type = ProtoField.uint8("vnic.type", "Type", base.DEC, TYPES),
    fn = ProtoField.uint8("vnic.function", "Function"),
    bar = ProtoField.uint8("vnic.bar", "BAR"),
    offset = ProtoField.uint64("vnic.offset", "Offset", base.HEX),
    width = ProtoField.uint8("vnic.width", "Width", base.DEC),
    value = ProtoField.uint64("vnic.value", "Value", base.HEX),
    reg = ProtoField.string("vnic.reg", "Register"),
    field = ProtoField.string("vnic.field", "Field"),
    vector = ProtoField.uint8("vnic.vector", "Vector"),
    kind = ProtoField.uint8("vnic.kind", "Interrupt", base.DEC, KINDS),
    purpose = ProtoField.uint8("vnic.purpose", "Purpose", base.DEC, PURPOSES),
    status = ProtoField.uint8("vnic.status", "Status", base.DEC, STATUSES),
    engine = ProtoField.string("vnic.engine", "Engine"),
    queue = ProtoField.uint8("vnic.queue", "Queue"),
    addr = ProtoField.uint64("vnic.addr", "Address", base.HEX),
    text = ProtoField.string("vnic.text", "Text"),
    flags = ProtoField.uint8("vnic.flags", "Flags", base.HEX),
    length = ProtoField.uint32("vnic.length", "Length"),
    number = ProtoField.uint32("vnic.number", "Number"),
    data = ProtoField.bytes("vnic.data", "Data"),
    digest = ProtoField.uint64("vnic.digest", "Digest", base.HEX),
}
vnic.fields = fields

local SHORT = ProtoExpert.new("vnic.short", "shorter than an event", expert.group.MALFORMED, expert.severity.ERROR)
local UNKNOWN = ProtoExpert.new("vnic.unknown", "an unknown version or type", expert.group.UNDECODED,
    expert.severity.NOTE)
vnic.experts = { SHORT, UNKNOWN }

local HEAD = 32
local SHOWN = 16
local IS_DIGEST, GOES_ON, CONTINUES = 1, 2, 4
local CONFIG = -1
local NEVER = UInt64(0xffffffff, 0xffffffff)

-- ---- registers --------------------------------------------------------------------------------------------

local by_word = {}

-- A map's registers by the number of their 32-bit word, made when it is first asked for.
local function words_of(number)
    local words = by_word[number]
    if words then return words end
    words = {}
    for _, register in ipairs(MAPS[number]) do
        for i = 0, register.count - 1 do
            for j = 0, register.inner_count - 1 do
                local start = register.offset + i * register.stride + j * register.inner_stride
                local place = { register = register, start = start, element = i * register.inner_count + j }
                for step = 0, register.bytes - 1, 4 do words[math.floor((start + step) / 4)] = place end
            end
        end
    end
    by_word[number] = words
    return words
end

-- The register of an access, its name with element and bytes from its start, and those bytes; or nil.
local function find(fn, bar, offset)
    for _, window in ipairs(WINDOWS[FUNCTIONS[fn] or ""] or {}) do
        local inside = offset - window.base
        if window.bar == bar and inside >= 0 and inside < window.size then
            local place = words_of(window.map)[math.floor(inside / 4)]
            if not place then return nil end
            local register, rest = place.register, inside - place.start
            local name = register.name
            if register.count * register.inner_count > 1 then name = name .. "[" .. place.element .. "]" end
            if rest > 0 then name = name .. string.format("+%d", rest) end
            return register, name, rest
        end
    end
    return nil
end

local function hex(value)
    local digits = value:tohex():gsub("^0+", "")
    return "0x" .. (digits == "" and "0" or digits)
end

local function number_text(value)
    return value > UInt64(9) and hex(value) or tostring(value)
end

-- The fields that an access covers whole, each with the text of its value.
local function values_of(register, rest, width, value)
    local found = {}
    if not register or rest > 0 then return found end
    for _, field in ipairs(register.fields) do
        if field.lsb + field.width <= 8 * width then
            local part = value:rshift(field.lsb)
            if field.width < 64 then part = part:band(UInt64(1):lshift(field.width) - UInt64(1)) end
            local name = field.values and field.values[part:tonumber()]
            found[#found + 1] = { name = field.name, text = name or number_text(part), is_zero = part == UInt64(0) }
        end
    end
    return found
end

-- ---- what an event says -----------------------------------------------------------------------------------

local function name_of(names, value)
    return string.lower(names[value] or tostring(value))
end

local function amount(value)
    return value == NEVER and "all" or tostring(value)
end

local function small(value)
    return value < UInt64(256) and value:tonumber() or 255
end

-- The event's header as a table; addr and value are 64 bits wide.
local function read_head(tvb)
    return {
        version = tvb(0, 1):uint(), type = tvb(1, 1):uint(), fn = tvb(2, 1):uint(), index = tvb(3, 1):uint(),
        width = tvb(4, 1):uint(), flags = tvb(5, 1):uint(), addr = tvb(8, 8):le_uint64(),
        value = tvb(16, 8):le_uint64(), length = tvb(24, 4):le_uint(), number = tvb(28, 4):le_uint(),
    }
end

local function has(event, flag)
    return math.floor(event.flags / flag) % 2 == 1
end

-- What is there of the data: the digest, or the octets up to the length; or nil.
local function add_data(tvb, tree, event)
    local there = tvb:len() - HEAD
    if has(event, IS_DIGEST) then
        if there < 8 then return "" end
        tree:add_le(fields.digest, tvb(HEAD, 8))
        return " digest " .. hex(tvb(HEAD, 8):le_uint64())
    end
    if not has(event, GOES_ON) and not has(event, CONTINUES) then there = math.min(there, event.length) end
    if there <= 0 then return "" end
    tree:add(fields.data, tvb(HEAD, there))
    local shown = tvb(HEAD, math.min(there, SHOWN)):bytes():tohex(true)
    return " " .. shown .. (there > SHOWN and " .." or "")
end

local function add_access(tvb, tree, event, is_config, is_write)
    local bar = is_config and CONFIG or event.index
    local offset = event.addr:tonumber()
    if not is_config then tree:add(fields.bar, tvb(3, 1)) end
    tree:add_le(fields.offset, tvb(8, 8))
    tree:add(fields.width, tvb(4, 1)):append_text(" bytes")
    tree:add_le(fields.value, tvb(16, 8))
    local register, name, rest = find(event.fn, bar, offset)
    if name then tree:add(fields.reg, tvb(8, 8), name) end
    local parts = {}
    for _, each in ipairs(values_of(register, rest, event.width, event.value)) do
        tree:add(fields.field, tvb(16, 8), each.name .. "=" .. each.text)
        if not each.is_zero then parts[#parts + 1] = each.name .. "=" .. each.text end
    end
    local where = (is_config and "CFG" or string.format("BAR%d", event.index)) .. "+" .. hex(event.addr)
    local line = string.format("%s_%s %s%s %s %s", is_config and "CFG" or "MMIO", is_write and "W" or "R", where,
        name and (" " .. name) or "", is_write and "<-" or "->", hex(event.value))
    if register and #register.fields > 1 and #parts > 0 then line = line .. " {" .. table.concat(parts, " ") .. "}" end
    return line
end

local function add_dma(tvb, tree, event, way)
    tree:add(fields.purpose, tvb(3, 1))
    tree:add_le(fields.addr, tvb(8, 8))
    tree:add(fields.status, tvb(16, 1), small(event.value))
    local status = event.value == UInt64(0) and "" or " " .. name_of(STATUSES, small(event.value))
    return string.format("DMA_%s %s %s %d%s", way, name_of(PURPOSES, event.index), hex(event.addr), event.length,
        status) .. add_data(tvb, tree, event)
end

local function add_interrupt(tvb, tree, event)
    tree:add(fields.kind, tvb(4, 1))
    local kind = name_of(KINDS, event.width)
    if kind == "intx" then
        tree:add_le(fields.value, tvb(16, 8))
        return "INTERRUPT intx " .. (event.value == UInt64(0) and "deassert" or "assert")
    end
    tree:add(fields.vector, tvb(3, 1))
    tree:add_le(fields.addr, tvb(8, 8))
    tree:add_le(fields.value, tvb(16, 8))
    return string.format("INTERRUPT %s %d %s <- %s", kind, event.index, hex(event.addr), hex(event.value))
end

local function add_step(tvb, tree, event)
    local name = name_of(ENGINES, event.index)
    if FUNCTIONS[event.fn] == "copy" then
        name = event.index == COPY_IRQ and "irq" or string.format("channel %d", event.index)
    end
    tree:add(fields.engine, tvb(3, 1), name)
    return "STEP " .. name
end

local function add_map(tvb, tree, event)
    tree:add_le(fields.addr, tvb(8, 8))
    tree:add_le(fields.value, tvb(16, 8)):set_text("Bytes: " .. amount(event.value))
    if TYPES[event.type] == "UNMAP" then return "UNMAP " .. hex(event.addr) .. " " .. amount(event.value) end
    local may = (event.width % 2 == 1 and "r" or "") .. (math.floor(event.width / 2) % 2 == 1 and "w" or "")
    return "MAP " .. hex(event.addr) .. " " .. amount(event.value) .. " " .. may
end

local function add_mark(tvb, tree, event)
    local there = math.min(tvb:len() - HEAD, event.length)
    local text = there > 0 and tvb(HEAD, there):string(ENC_UTF_8) or ""
    tree:add(fields.text, there > 0 and tvb(HEAD, there) or tvb(24, 4), text)
    return text == "" and "MARK" or "MARK " .. text
end

-- A frame that is too long for a port, or left out of a compact trace.
local function add_frame(tvb, tree, event, is_in)
    if is_in then
        tree:add_le(fields.value, tvb(16, 8))
        return "FRAME_IN " .. event.length .. " " .. name_of(VERDICTS, small(event.value)) .. add_data(tvb, tree, event)
    end
    tree:add(fields.queue, tvb(3, 1))
    return "FRAME_OUT q" .. event.index .. " " .. event.length .. add_data(tvb, tree, event)
end

-- An event that is a number: `say` gets the number.
local function of_value(say)
    return function(tvb, tree, event)
        tree:add_le(fields.value, tvb(16, 8))
        return say(event.value, event) .. add_data(tvb, tree, event)
    end
end

local SAY = {
    MMIO_READ = function(tvb, tree, event) return add_access(tvb, tree, event, false, false) end,
    MMIO_WRITE = function(tvb, tree, event) return add_access(tvb, tree, event, false, true) end,
    CFG_READ = function(tvb, tree, event) return add_access(tvb, tree, event, true, false) end,
    CFG_WRITE = function(tvb, tree, event) return add_access(tvb, tree, event, true, true) end,
    DMA_READ = function(tvb, tree, event) return add_dma(tvb, tree, event, "R") end,
    DMA_WRITE = function(tvb, tree, event) return add_dma(tvb, tree, event, "W") end,
    INTERRUPT = add_interrupt,
    FRAME_IN = function(tvb, tree, event) return add_frame(tvb, tree, event, true) end,
    FRAME_OUT = function(tvb, tree, event) return add_frame(tvb, tree, event, false) end,
    TIME = of_value(function(value) return "TIME " .. tostring(value) .. " ns" end),
    RUN = of_value(function(value, event)
        return "RUN " .. amount(event.addr) .. " steps " .. amount(value) .. " bytes"
    end),
    STEP = add_step,
    LINK = of_value(function(value) return "LINK " .. tostring(value) .. " Mb/s" end),
    MAP = add_map,
    UNMAP = add_map,
    RESET = of_value(function(value) return "RESET " .. name_of(RESETS, small(value)) end),
    REMOVE = of_value(function(value) return value == UInt64(0) and "INSERT" or "REMOVE" end),
    FAULT = of_value(function(value) return "FAULT " .. tostring(value) .. " fired" end),
    ARM = of_value(function(value, event)
        return (event.length > 0 and "ARM " or "DISARM ") .. tostring(value)
    end),
    LOAD = function(tvb, tree, event)
        add_data(tvb, tree, event)
        return "LOAD " .. event.length .. " bytes"
    end,
    TAKE = of_value(function(value) return "TAKE " .. tostring(value) .. " interrupts" end),
    RELEASE = of_value(function(value) return "RELEASE " .. tostring(value) .. " frames" end),
    MARK = add_mark,
    HASH = of_value(function(value) return "HASH " .. hex(value) end),
}

function vnic.dissector(tvb, pinfo, root)
    

    pinfo.cols.protocol = "VNIC"
    local tree = root:add(vnic, tvb())
    if tvb:len() < HEAD then
        tree:add_proto_expert_info(SHORT)
        pinfo.cols.info = "an event of " .. tvb:len() .. " octets"
        return tvb:len()
    end
    local event = read_head(tvb)
    tree:add(fields.version, tvb(0, 1))
    tree:add(fields.type, tvb(1, 1))
    tree:add(fields.fn, tvb(2, 1))
    if event.flags ~= 0 then tree:add(fields.flags, tvb(5, 1)) end
    tree:add_le(fields.length, tvb(24, 4))
    tree:add_le(fields.number, tvb(28, 4))
    local say = event.version == VERSION and SAY[TYPES[event.type] or ""]
    local line
    if say then
        line = say(tvb, tree, event)
    else
        tree:add_proto_expert_info(UNKNOWN)
        line = string.format("version %d, type %d: not known", event.version, event.type)
    end
    if has(event, CONTINUES) then line = line .. " (continued)" end
    pinfo.cols.info = line
    tree:append_text(", " .. line)
    return tvb:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, vnic)
