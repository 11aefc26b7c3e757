// Writer and reader of serialised tile programs; the reader trusts no count and no length.
#include "program/serialise.h"

#include <cstring>
#include <type_traits>

#include "base/error.h"

namespace mtia {
namespace {

constexpr char magic[8] = {'M', 'T', 'I', 'A', 'P', 'R', 'O', 'G'};

class Writer {
 public:
  template <typename T>
  void put(T value) {
    static_assert(std::is_integral_v<T>);
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), first, first + sizeof(T));
  }
  void put_bytes(const void* data, size_t count) {
    const auto* first = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), first, first + count);
  }
  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  T get(const char* what) {
    T value{};
    need(sizeof(T), what);
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }
  // A list's count, refused where the remaining bytes cannot hold that many entries of `smallest` bytes.
  uint32_t count(size_t smallest, const char* what) {
    const auto value = get<uint32_t>(what);
    if (value > (bytes_.size() - position_) / smallest) {
      throw InvalidProgram(concat("tile program: ", value, " ", what, " do not fit in the ", bytes_.size() - position_,
                                  " bytes that are left"),
                           "", "delete the cached program and compile again");
    }
    return value;
  }
  std::string text(const char* what) {
    const uint32_t length = count(1, what);
    need(length, what);
    std::string value(reinterpret_cast<const char*>(bytes_.data()) + position_, length);
    position_ += length;
    return value;
  }
  bool at_end() const { return position_ == bytes_.size(); }
  size_t left() const { return bytes_.size() - position_; }

 private:
  void need(size_t count, const char* what) const {
    if (bytes_.size() - position_ < count) {
      throw InvalidProgram(concat("tile program: the bytes end inside of ", what), "",
                           "delete the cached program and compile again");
    }
  }
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

DType checked_dtype(uint8_t number, const char* what) {
  const auto dtype = static_cast<DType>(number);
  if (!is_valid(dtype))
    throw InvalidProgram(concat("tile program: dtype number ", unsigned{number}, " of ", what, " does not exist"));
  return dtype;
}

}  // namespace

std::string TileProgram::location_of(const Instruction& instruction) const {
  if (instruction.location >= locations.size()) return {};
  const Location& location = locations[instruction.location];
  if (location.file >= strings.size()) return {};
  const std::string& file = strings[location.file];
  const size_t slash = file.rfind('/');
  return concat(slash == std::string::npos ? file : file.substr(slash + 1), ":", location.line);
}

std::vector<std::byte> serialise(const TileProgram& program) {
  Writer payload;
  std::vector<std::string> strings = program.strings;
  const auto intern = [&strings](const std::string& text) {
    for (size_t i = 0; i < strings.size(); ++i) {
      if (strings[i] == text) return static_cast<uint32_t>(i);
    }
    strings.push_back(text);
    return static_cast<uint32_t>(strings.size() - 1);
  };
  const uint32_t name = intern(program.name);
  std::vector<uint32_t> argument_names;
  for (const Argument& argument : program.arguments) argument_names.push_back(intern(argument.name));

  const auto put_count = [&payload](size_t count) { payload.put(static_cast<uint32_t>(count)); };
  put_count(strings.size());
  for (const std::string& text : strings) {
    put_count(text.size());
    payload.put_bytes(text.data(), text.size());
  }
  payload.put(name);
  payload.put(program.local_memory_bytes);
  payload.put(uint32_t{program.waits_for_products});
  put_count(program.arguments.size());
  for (size_t i = 0; i < program.arguments.size(); ++i) {
    const Argument& argument = program.arguments[i];
    payload.put(argument_names[i]);
    payload.put(static_cast<uint8_t>(argument.is_pointer ? 1 : 0));
    payload.put(static_cast<uint8_t>(argument.dtype));
    payload.put(uint16_t{0});
    payload.put(argument.value);
  }
  put_count(program.slots.size());
  for (const Slot& slot : program.slots) {
    payload.put(slot.offset);
    payload.put(slot.bytes);
    payload.put(slot.buffers);
  }
  put_count(program.values.size());
  for (const Value& value : program.values) {
    payload.put(static_cast<uint8_t>(value.kind));
    payload.put(static_cast<uint8_t>(value.dtype));
    payload.put(value.rank);
    payload.put(uint8_t{0});
    payload.put(value.slot);
    payload.put(value.bits);
    for (size_t i = 0; i < value.rank; ++i) payload.put(value.dims[i]);
  }
  put_count(program.locations.size());
  for (const Location& location : program.locations) {
    payload.put(location.file);
    payload.put(location.line);
    payload.put(location.column);
  }
  put_count(program.instructions.size());
  for (const Instruction& instruction : program.instructions) {
    payload.put(static_cast<uint16_t>(instruction.opcode));
    payload.put(static_cast<uint16_t>(instruction.results.size()));
    payload.put(static_cast<uint16_t>(instruction.operands.size()));
    payload.put(static_cast<uint16_t>(instruction.attributes.size()));
    payload.put(instruction.location);
    for (const uint32_t value : instruction.results) payload.put(value);
    for (const uint32_t value : instruction.operands) payload.put(value);
    for (const int64_t value : instruction.attributes) payload.put(value);
  }
  put_count(program.names.size());
  for (const ValueName& name : program.names) {
    payload.put(name.instruction);
    payload.put(name.value);
    payload.put(name.name);
  }

  Writer whole;
  whole.put_bytes(magic, sizeof(magic));
  whole.put(program_format_version);
  whole.put(isa_fingerprint());
  whole.put(static_cast<uint32_t>(payload.bytes().size()));
  whole.put(crc32(payload.bytes().data(), payload.bytes().size()));
  whole.put_bytes(payload.bytes().data(), payload.bytes().size());
  return std::move(whole.bytes());
}

TileProgram deserialise(std::span<const std::byte> bytes) {
  constexpr size_t header_bytes = 24;
  constexpr const char* remedy = "delete the cached program and compile again";
  if (bytes.size() < header_bytes || std::memcmp(bytes.data(), magic, sizeof(magic)) != 0) {
    throw InvalidProgram(concat("these ", bytes.size(), " bytes are not a tile program"), "", remedy);
  }
  Reader header(bytes.subspan(sizeof(magic), header_bytes - sizeof(magic)));
  if (const auto version = header.get<uint32_t>("the header"); version != program_format_version) {
    throw InvalidProgram(
        concat("tile program of format ", version, ", this build reads format ", program_format_version), "", remedy);
  }
  if (const auto fingerprint = header.get<uint32_t>("the header"); fingerprint != isa_fingerprint()) {
    throw InvalidProgram(
        concat("tile program for instruction set ", fingerprint, ", this build's is ", isa_fingerprint()), "", remedy);
  }
  const auto payload_bytes = header.get<uint32_t>("the header");
  const auto checksum = header.get<uint32_t>("the header");
  const std::span<const std::byte> payload = bytes.subspan(header_bytes);
  if (payload.size() != payload_bytes) {
    throw InvalidProgram(concat("tile program of ", payload_bytes, " payload bytes has ", payload.size()), "", remedy);
  }
  if (crc32(payload.data(), payload.size()) != checksum)
    throw InvalidProgram("tile program: the checksum does not match its bytes", "", remedy);

  Reader reader(payload);
  TileProgram program;
  const uint32_t string_count = reader.count(4, "strings");
  for (uint32_t i = 0; i < string_count; ++i) program.strings.push_back(reader.text("a string"));
  const auto text_of = [&program](uint32_t number, const char* what) -> const std::string& {
    if (number >= program.strings.size())
      throw InvalidProgram(concat("tile program: string ", number, " of ", what, " does not exist"));
    return program.strings[number];
  };
  program.name = text_of(reader.get<uint32_t>("the name"), "the name");
  program.local_memory_bytes = reader.get<uint32_t>("local_memory_bytes");
  const auto waits = reader.get<uint32_t>("waits_for_products");
  if (waits > 1) throw InvalidProgram(concat("tile program: waits_for_products is ", waits, ", not 0 or 1"));
  program.waits_for_products = waits == 1;
  const uint32_t argument_count = reader.count(12, "arguments");
  for (uint32_t i = 0; i < argument_count; ++i) {
    Argument argument;
    argument.name = text_of(reader.get<uint32_t>("an argument"), "an argument");
    const auto kind = reader.get<uint8_t>("an argument");
    if (kind > 1)
      throw InvalidProgram(concat("tile program: argument ", argument.name, " is of kind ", unsigned{kind}));
    argument.is_pointer = kind == 1;
    argument.dtype = checked_dtype(reader.get<uint8_t>("an argument"), "an argument");
    reader.get<uint16_t>("an argument");
    argument.value = reader.get<uint32_t>("an argument");
    program.arguments.push_back(std::move(argument));
  }
  const uint32_t slot_count = reader.count(12, "slots");
  for (uint32_t i = 0; i < slot_count; ++i) {
    Slot slot;
    slot.offset = reader.get<uint32_t>("a slot");
    slot.bytes = reader.get<uint32_t>("a slot");
    slot.buffers = reader.get<uint32_t>("a slot");
    program.slots.push_back(slot);
  }
  const uint32_t value_count = reader.count(16, "values");
  for (uint32_t i = 0; i < value_count; ++i) {
    Value value;
    const auto kind = reader.get<uint8_t>("a value");
    if (kind > 2) throw InvalidProgram(concat("tile program: value ", i, " is of kind ", unsigned{kind}));
    value.kind = static_cast<ValueKind>(kind);
    value.dtype = checked_dtype(reader.get<uint8_t>("a value"), "a value");
    value.rank = reader.get<uint8_t>("a value");
    reader.get<uint8_t>("a value");
    if (value.rank > max_rank)
      throw InvalidProgram(
          concat("tile program: value ", i, " has rank ", unsigned{value.rank}, ", at most ", max_rank));
    value.slot = reader.get<uint32_t>("a value");
    value.bits = reader.get<uint64_t>("a value");
    for (size_t d = 0; d < value.rank; ++d) value.dims[d] = reader.get<uint32_t>("a value");
    program.values.push_back(value);
  }
  const uint32_t location_count = reader.count(12, "locations");
  for (uint32_t i = 0; i < location_count; ++i) {
    Location location;
    location.file = reader.get<uint32_t>("a location");
    location.line = reader.get<uint32_t>("a location");
    location.column = reader.get<uint32_t>("a location");
    text_of(location.file, "a location");
    program.locations.push_back(location);
  }
  const uint32_t instruction_count = reader.count(12, "instructions");
  for (uint32_t i = 0; i < instruction_count; ++i) {
    Instruction instruction;
    const auto opcode = reader.get<uint16_t>("an instruction");
    if (opcode >= opcode_count)
      throw InvalidProgram(concat("tile program: opcode ", opcode, " of instruction ", i, " does not exist"));
    instruction.opcode = static_cast<Opcode>(opcode);
    const auto results = reader.get<uint16_t>("an instruction");
    const auto operands = reader.get<uint16_t>("an instruction");
    const auto attributes = reader.get<uint16_t>("an instruction");
    instruction.location = reader.get<uint32_t>("an instruction");
    for (unsigned r = 0; r < results; ++r) instruction.results.push_back(reader.get<uint32_t>("an instruction"));
    for (unsigned o = 0; o < operands; ++o) instruction.operands.push_back(reader.get<uint32_t>("an instruction"));
    for (unsigned a = 0; a < attributes; ++a) instruction.attributes.push_back(reader.get<int64_t>("an instruction"));
    program.instructions.push_back(std::move(instruction));
  }
  const uint32_t name_count = reader.count(12, "names");
  for (uint32_t i = 0; i < name_count; ++i) {
    ValueName name;
    name.instruction = reader.get<uint32_t>("a name");
    name.value = reader.get<uint32_t>("a name");
    name.name = reader.get<uint32_t>("a name");
    text_of(name.name, "a name");
    program.names.push_back(name);
  }
  if (!reader.at_end())
    throw InvalidProgram(concat("tile program: ", reader.left(), " bytes after its end"), "", remedy);
  return program;
}

}  // namespace mtia
