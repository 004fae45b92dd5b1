#include "include/glsl.h"

LVQ_KERNEL_BEGIN
#include "../shaders/adafactor.comp"
LVQ_KERNEL_END
