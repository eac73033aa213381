//! Setters of settings, so that a new field changes no caller: those of other crates cannot write the structs as literals.

/// Implements a setter for each field that is named. Fields whose type has a destructor need a setter by hand: a constant
/// function cannot run it.
macro_rules! setters {
    ($settings:ident { $($field:ident: $type:ty,)+ }) => {
        impl $settings {
            $(
                #[doc = concat!(
                    "Sets the field [`", stringify!($field), "`](field@Self::", stringify!($field),
                    "), which documents the limits."
                )]
                #[must_use]
                pub const fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}

pub(super) use setters;
