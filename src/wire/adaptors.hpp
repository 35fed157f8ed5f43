// How the types of core/ look in MessagePack. Included by whoever spells messages.
#pragma once

// NOLINTNEXTLINE: Debian's msgpack must not drag in Boost
#ifndef MSGPACK_NO_BOOST
#define MSGPACK_NO_BOOST
#endif
#include <chrono>
#include <cstdint>
#include <memory>
#include <msgpack.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/boxed.hpp"
#include "core/ids.hpp"
#include "core/job.hpp"
#include "core/limits.hpp"
#include "core/payload.hpp"
#include "core/text.hpp"

namespace dc::wire {

/// MessagePack extension type that stands for a payload outside the message; its body is the index as one byte.
inline constexpr std::int8_t external_payload_type = 1;
/// The same for one that is a part of a payload outside, in journals only; its body: that one's index (one byte), where
/// it begins, and its size (four bytes each, big-endian).
inline constexpr std::int8_t slice_type = 2;
/// In the place of the index: the last payload outside, which is the bundle.
inline constexpr std::uint8_t bundle_index = 0xff;

/// Where the payloads of the message that is being decoded on this thread live. Payload's adaptor needs it, and
/// msgpack's convert() has no room for an argument.
struct DecodeScope {
  std::shared_ptr<const void> frame;     ///< keeps the bytes of inline payloads
  const std::vector<Payload>* external;  ///< payloads that arrived beside the message
  bool slices = false;                   ///< parts of them may stand in it
  static thread_local const DecodeScope* current;
};

/// Small payloads that are to lie together outside the message.
struct Bundle {
  std::string bytes;
  std::vector<std::int64_t> offsets;  ///< of every payload of the message, in their order; -1: it does not lie here
};

/// Where the encoder puts payloads that are not to stand in the message: those over limits::inline_payload_max, and
/// where slices are allowed those that are elsewhere already.
struct EncodeScope {
  std::vector<Payload>* external;
  bool slices = false;       ///< see DecodeScope
  Bundle* bundle = nullptr;  ///< takes those over limits::payload_in_memory_max; null: they stand in the message
  static thread_local const EncodeScope* current;
};

/// How a payload is told that is not in the message.
struct Outside {
  std::int8_t type;
  std::string body;
};
/// Puts it there. None: its bytes are to stand in the message.
std::optional<Outside> put_outside(const EncodeScope& scope, const Payload& payload);
/// The way back. None: there is no such payload.
std::optional<Payload> from_outside(const DecodeScope& scope, std::int8_t type, std::string_view body);

}  // namespace dc::wire

namespace dc::wire {

// The structs of core/ travel as arrays of these fields, in this order.
#define DC_WIRE_FIELDS(TYPE, ...)                               \
  inline auto fields(TYPE& v) { return std::tie(__VA_ARGS__); } \
  inline auto fields(const TYPE& v) { return std::tie(__VA_ARGS__); }

DC_WIRE_FIELDS(Token, v.epoch, v.attempt)
DC_WIRE_FIELDS(Attempt, v.sequence, v.token)
DC_WIRE_FIELDS(SubmittedJob, v.sequence, v.after_update, v.arguments, v.key)
DC_WIRE_FIELDS(SlotInfo, v.slot, v.device, v.gpu_memory_mib, v.gpu, v.gpu_memory_free_mib, v.trouble)
DC_WIRE_FIELDS(ErrorInfo, v.kind, v.message, v.traceback, v.type_name, v.host, v.slot, v.exit_status, v.signal)
DC_WIRE_FIELDS(WorkerReport, v.worker, v.pool, v.slot, v.ready, v.pid, v.updates_applied, v.held, v.more_slots)
DC_WIRE_FIELDS(PoolOptions, v.language, v.label, v.python_version, v.program_hash, v.weight, v.max_retries,
               v.job_timeout, v.init_timeout, v.update_timeout, v.keep_updates_history, v.retry_exceptions,
               v.forward_output, v.min_workers, v.min_gpu_memory_mib, v.device, v.gpus_per_worker, v.environment,
               v.threads_per_worker)
DC_WIRE_FIELDS(JobLabel, v.tries, v.key)
#undef DC_WIRE_FIELDS

template <class T>
concept HasFields = requires(T& value) {
  fields(value);
};

/// Fields that came later stand at the end, and may be missing in what an earlier version has written (the journals of
/// named pools): so many are always there.
template <class T>
inline constexpr std::size_t fields_at_least = std::tuple_size_v<decltype(fields(std::declval<T&>()))>;
template <>
inline constexpr std::size_t fields_at_least<PoolOptions> = 16;

/// Largest value of each enum that travels; anything above is refused while decoding.
template <class E>
inline constexpr int last_of = -1;
template <>
inline constexpr int last_of<ErrorKind> = static_cast<int>(ErrorKind::pool_deadlock);
template <>
inline constexpr int last_of<ExitCause> = static_cast<int>(ExitCause::out_of_memory);
template <>
inline constexpr int last_of<Language> = static_cast<int>(Language::cpp);
template <>
inline constexpr int last_of<DeviceWish> = static_cast<int>(DeviceWish::cpu);
template <>
inline constexpr int last_of<ForwardOutput> = static_cast<int>(ForwardOutput::errors);
template <>
inline constexpr int last_of<OutputStream> = static_cast<int>(OutputStream::err);
enum class Role : std::uint8_t { client = 0, node = 1, viewer = 2 };
template <>
inline constexpr int last_of<Role> = static_cast<int>(Role::viewer);

}  // namespace dc::wire

namespace msgpack {
MSGPACK_API_VERSION_NAMESPACE(MSGPACK_DEFAULT_API_NS) {
  namespace adaptor {

  template <class Tag>
  struct convert<dc::Id<Tag>> {
    const msgpack::object& operator()(const msgpack::object& in, dc::Id<Tag>& id) const {
      in.convert(id.value);
      return in;
    }
  };
  template <class Tag>
  struct pack<dc::Id<Tag>> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const dc::Id<Tag>& id) const {
      return out.pack_uint64(id.value);
    }
  };

  template <>
  struct convert<dc::Payload> {
    const msgpack::object& operator()(const msgpack::object& in, dc::Payload& payload) const {
      const auto* scope = dc::wire::DecodeScope::current;
      if (in.type == type::BIN) {
        payload = dc::Payload(scope->frame, std::as_bytes(std::span(in.via.bin.ptr, in.via.bin.size)));
      } else if (in.type == type::EXT) {
        auto found =
            dc::wire::from_outside(*scope, in.via.ext.type(), {in.via.ext.data(), std::size_t{in.via.ext.size}});
        if (!found) throw msgpack::type_error();
        payload = std::move(*found);
      } else {
        throw msgpack::type_error();
      }
      return in;
    }
  };
  template <>
  struct pack<dc::Payload> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const dc::Payload& payload) const {
      const auto* scope = dc::wire::EncodeScope::current;
      if (scope && (scope->slices || payload.size() > dc::limits::inline_payload_max)) {
        if (const auto outside = dc::wire::put_outside(*scope, payload)) {
          out.pack_ext(outside->body.size(), outside->type);
          return out.pack_ext_body(outside->body.data(), static_cast<std::uint32_t>(outside->body.size()));
        }
      }
      out.pack_bin(static_cast<std::uint32_t>(payload.size()));
      return out.pack_bin_body(payload.data(), static_cast<std::uint32_t>(payload.size()));
    }
  };

  template <class T>
  struct convert<dc::Boxed<T>> {
    const msgpack::object& operator()(const msgpack::object& in, dc::Boxed<T>& boxed) const {
      in.convert(*boxed);
      return in;
    }
  };
  template <class T>
  struct pack<dc::Boxed<T>> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const dc::Boxed<T>& boxed) const {
      return out.pack(*boxed);
    }
  };

  template <>
  struct convert<std::chrono::milliseconds> {
    const msgpack::object& operator()(const msgpack::object& in, std::chrono::milliseconds& value) const {
      value = std::chrono::milliseconds(in.as<std::int64_t>());
      return in;
    }
  };
  template <>
  struct pack<std::chrono::milliseconds> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const std::chrono::milliseconds& value) const {
      return out.pack_int64(value.count());
    }
  };

  template <class T>
  struct convert<T, std::enable_if_t<dc::wire::HasFields<T>>> {
    const msgpack::object& operator()(const msgpack::object& in, T& value) const {
      auto members = dc::wire::fields(value);
      constexpr std::size_t count = std::tuple_size_v<decltype(members)>;
      if (in.type != type::ARRAY) throw msgpack::type_error();
      const std::size_t size = in.via.array.size;
      if (size > count || size < dc::wire::fields_at_least<T>) throw msgpack::type_error();
      std::size_t index = 0;
      const auto convert_next = [&](auto& member) {
        if (index < size) in.via.array.ptr[index].convert(member);
        ++index;
      };
      std::apply([&](auto&... member) { (convert_next(member), ...); }, members);
      return in;
    }
  };
  template <class T>
  struct pack<T, std::enable_if_t<dc::wire::HasFields<T>>> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const T& value) const {
      auto members = dc::wire::fields(value);
      out.pack_array(std::tuple_size_v<decltype(members)>);
      std::apply([&](const auto&... member) { (out.pack(member), ...); }, members);
      return out;
    }
  };

  /// Every error that leaves a process comes by here, also those for the journal: its texts, which may be the user's
  /// and of any length, become short enough for every packet and frame.
  template <>
  struct pack<dc::ErrorInfo> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, const dc::ErrorInfo& error) const {
      const auto members = dc::wire::fields(error);
      out.pack_array(std::tuple_size_v<decltype(members)>);
      std::apply([&](const auto&... member) { (pack_member(out, member), ...); }, members);
      return out;
    }

   private:
    template <class Stream, class Member>
    static void pack_member(packer<Stream>& out, const Member& member) {
      if constexpr (std::is_same_v<Member, std::string>) {
        if (member.size() > dc::limits::error_text_bytes_max) {
          out.pack(dc::shortened(member, dc::limits::error_text_bytes_max));
          return;
        }
      }
      out.pack(member);
    }
  };

  template <class E>
  struct convert<E, std::enable_if_t<(dc::wire::last_of<E> >= 0)>> {
    const msgpack::object& operator()(const msgpack::object& in, E& value) const {
      if (std::is_same_v<E, dc::ForwardOutput> && in.type == type::BOOLEAN) {  // in journals of earlier versions
        value = static_cast<E>(in.via.boolean ? 1 : 0);
        return in;
      }
      const auto number = in.as<std::uint8_t>();
      if (number > dc::wire::last_of<E>) throw msgpack::type_error();
      value = static_cast<E>(number);
      return in;
    }
  };
  template <class E>
  struct pack<E, std::enable_if_t<(dc::wire::last_of<E> >= 0)>> {
    template <class Stream>
    packer<Stream>& operator()(packer<Stream>& out, E value) const {
      return out.pack_uint8(static_cast<std::uint8_t>(value));
    }
  };

  }  // namespace adaptor
}
}  // namespace msgpack
