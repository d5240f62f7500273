/* R. Giulietti, "The Schubfach way to render doubles" (2021). The interval of the decimals that read back as the value
 * is scaled by a power of ten until its width lies between 1 and 10; the answer is then among four integers. All in 64
 * and 128 bit integers, about a tenth of the time of printf and strtod in turns, and exact. */
#include "base/decimal.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/decimal_table.h"

__extension__ typedef unsigned __int128 wide;

struct decimal {
    uint64_t digits;
    int exponent; /* value = digits * 10^exponent */
};

/* The high 64 of the 192 bits of power * factor, made odd when bits were lost, which keeps comparisons with multiples
 * of two right. */
static uint64_t multiply(struct decimal_power power, uint64_t factor)
{
    wide low = (wide)power.low * factor;
    wide high = (wide)power.high * factor + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The best in [lower, upper], quarters of a unit of 10^exponent; `middle` is the value itself. */
static struct decimal choose(uint64_t lower, uint64_t middle, uint64_t upper, int exponent)
{
    uint64_t below = middle / 4, tens = below / 10;
    if (tens != 0) {
        bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
        if (down != up)
            return (struct decimal){tens + up, exponent + 1};
    }
    bool down = lower <= 4 * below, up = 4 * below + 4 <= upper;
    if (down == up)
        up = middle > 4 * below + 2 || (middle == 4 * below + 2 && (below & 1) != 0);
    return (struct decimal){below + up, exponent};
}

/* `fraction` and `biased` are the fields of an IEEE 754 double that is neither zero, infinite nor NaN. */
static struct decimal shortest(uint64_t fraction, int biased)
{
    uint64_t significand = biased != 0 ? fraction | (uint64_t)1 << 52 : fraction;
    int binary = (biased != 0 ? biased : 1) - 1075;
    bool closer = fraction == 0 && biased > 1; /* the neighbour below is only half as far as the one above */
    /* floor(log10(2^binary)), for `closer` of 3/4 of it; then floor(log2(10^-exponent)): both exact in this range.
     * gcc and clang shift the sign in. */
    /* cppcheck-suppress shiftNegativeLHS */
    int exponent = (binary * 1262611 - (closer ? 524031 : 0)) >> 22;
    int shift = binary + ((-exponent * 1741647) >> 19) + 1;
    struct decimal_power power = decimal_powers[-exponent - DECIMAL_TABLE_FIRST];
    uint64_t lower = multiply(power, (4 * significand - 2 + closer) << shift);
    uint64_t middle = multiply(power, (4 * significand) << shift);
    uint64_t upper = multiply(power, (4 * significand + 2) << shift);
    /* Without the bounds, which PostgreSQL leaves out too: only a reader that rounds ties to even would take them. */
    struct decimal best = choose(lower + 1, middle, upper - 1, exponent);
    for (; best.digits % 10 == 0; best.digits /= 10)
        best.exponent++;
    return best;
}

static size_t put_digits(uint64_t digits, char out[20])
{
    char reversed[20];
    size_t count = 0;
    do
        reversed[count++] = (char)('0' + digits % 10);
    while ((digits /= 10) != 0);
    for (size_t i = 0; i < count; i++)
        out[i] = reversed[count - 1 - i];
    return count;
}

/* d.ddde+XX, at least two digits of exponent, as C's %g. */
static char *put_scientific(const char *digits, size_t count, int exponent, char *out)
{
    *out++ = digits[0];
    if (count > 1) {
        *out++ = '.';
        memcpy(out, digits + 1, count - 1);
        out += count - 1;
    }
    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
    if (size < 10)
        *out++ = '0';
    return out + put_digits(size, out);
}

/* `exponent` is that of the first digit, -4 to 14. */
static char *put_positional(const char *digits, size_t count, int exponent, char *out)
{
    if (exponent < 0) {
        size_t zeros = (size_t)-exponent - 1;
        memcpy(out, "0.0000", 2 + zeros);
        memcpy(out + 2 + zeros, digits, count);
        return out + 2 + zeros + count;
    }
    size_t whole = (size_t)exponent + 1;
    if (count <= whole) {
        memcpy(out, digits, count);
        memset(out + count, '0', whole - count);
        return out + whole;
    }
    memcpy(out, digits, whole);
    out[whole] = '.';
    memcpy(out + whole + 1, digits + whole, count - whole);
    return out + count + 1;
}

/* Measured values mostly have few decimals, and need no search: a decimal of at most 15 digits that reads back as the
 * value is the only one so short. `value` is positive and not 0. Returns the end, or NULL. */
static char *put_few_decimals(double value, char *at)
{
    static const double powers[] = {1, 10, 100, 1000};
    char digits[20];
    unsigned places = 0, count = 0;
    if (value >= 1e12)
        return NULL;
    uint64_t scaled = (uint64_t)value;
    /* No division is asked of a whole number. */
    while ((places == 0 ? (double)scaled : (double)scaled / powers[places]) != value) {
        if (++places == sizeof(powers) / sizeof(powers[0]))
            return NULL;
        scaled = (uint64_t)(value * powers[places] + 0.5);
    }
    for (uint64_t rest = scaled; rest != 0 || count <= places; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    while (count > places)
        *at++ = digits[--count];
    if (places != 0)
        *at++ = '.';
    while (count != 0)
        *at++ = digits[--count];
    return at;
}

size_t decimal_format(double value, char out[DECIMAL_TEXT_SIZE])
{
    uint64_t bits;
    char digits[20], *at = out;
    memcpy(&bits, &value, sizeof(bits));
    if (bits >> 63 != 0)
        *at++ = '-';
    bits &= UINT64_MAX >> 1;
    if (bits == 0) {
        *at++ = '0';
        return (size_t)(at - out);
    }
    char *end = put_few_decimals(fabs(value), at);
    if (end != NULL)
        return (size_t)(end - out);
    struct decimal best = shortest(bits & (((uint64_t)1 << 52) - 1), (int)(bits >> 52));
    size_t count = put_digits(best.digits, digits);
    int exponent = best.exponent + (int)count - 1;
    at = exponent < -4 || exponent >= 15 ? put_scientific(digits, count, exponent, at)
                                         : put_positional(digits, count, exponent, at);
    return (size_t)(at - out);
}
