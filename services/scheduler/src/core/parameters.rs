//! Parameters of a start: defaults filled in, and every value checked against what its module says of it.

use muster_model::quantity::{parse_duration, parse_size};
use muster_model::{Refusal, RefusalCode};

use super::limits::TEXT_MAX_BYTES;
use super::module::{Module, Parameter, ParameterType};
use super::nearest::nearest;

/// Fills in defaults and checks what was given. The result is sorted by name.
///
/// # Errors
/// The first parameter that is unknown, missing, of the wrong form or out of range.
pub(super) fn complete(module: &Module, given: &[(String, String)]) -> Result<Vec<(String, String)>, Refusal> {
    let what = format!("start {}", module.name);
    let refuse = |why: String, next: String| Refusal::new(RefusalCode::Invalid, what.clone(), why, next);
    for (index, (name, _)) in given.iter().enumerate() {
        if given[..index].iter().any(|(other, _)| other == name) {
            return Err(refuse(format!("parameter `{name}` is given twice"), "give it once".into()));
        }
        if !module.parameters.iter().any(|parameter| parameter.name == *name) {
            return Err(refuse(format!("it has no parameter `{name}`"), unknown_hint(module, name)));
        }
    }
    let mut complete = Vec::with_capacity(module.parameters.len());
    for parameter in &module.parameters {
        let value = match given.iter().find(|(name, _)| *name == parameter.name) {
            Some((_, value)) => {
                check_value(parameter, value).map_err(|why| {
                    refuse(format!("parameter `{}` is `{value}`: {why}", parameter.name), hint(parameter))
                })?;
                value.clone()
            }
            None if parameter.required => {
                return Err(refuse(format!("parameter `{}` is missing", parameter.name), hint(parameter)));
            }
            None => parameter.default.clone(),
        };
        complete.push((parameter.name.clone(), value));
    }
    complete.sort();
    Ok(complete)
}

/// The parameters of a job that runs, after some were changed: those alone that its module takes while it runs.
///
/// # Errors
/// The first parameter that is unknown, given twice, not to be changed, of the wrong form or out of range.
pub(super) fn changed(
    what: &str,
    module: &Module,
    now: &[(String, String)],
    given: &[(String, String)],
) -> Result<Vec<(String, String)>, Refusal> {
    let refuse = |code, why: String, next: String| Err(Refusal::new(code, what, why, next));
    let mut parameters = now.to_vec();
    for (index, (name, value)) in given.iter().enumerate() {
        if given[..index].iter().any(|(other, _)| other == name) {
            return refuse(RefusalCode::Invalid, format!("parameter `{name}` is given twice"), "give it once".into());
        }
        let Some(parameter) = module.parameters.iter().find(|parameter| parameter.name == *name) else {
            let why = format!("{} has no parameter `{name}`", module.name);
            return refuse(RefusalCode::Invalid, why, unknown_hint(module, name));
        };
        if !parameter.live {
            let why =
                format!("a running {} does not take another `{name}`: it reads it once, when it starts", module.name);
            return refuse(RefusalCode::Refused, why, live_hint(module));
        }
        if let Err(why) = check_value(parameter, value) {
            return refuse(RefusalCode::Invalid, format!("parameter `{name}` is `{value}`: {why}"), hint(parameter));
        }
        match parameters.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => parameters.push((name.clone(), value.clone())),
        }
    }
    parameters.sort();
    Ok(parameters)
}

fn live_hint(module: &Module) -> String {
    let live = module.parameters.iter().filter(|parameter| parameter.live);
    let names: Vec<&str> = live.map(|parameter| parameter.name.as_str()).collect();
    if names.is_empty() {
        return "stop the job, and start it with the other value".into();
    }
    format!("stop the job, and start it with the other value; while it runs it takes {}", names.join(", "))
}

/// A definition that can be used: its default and bounds are of its own form.
pub(super) fn check_definition(parameter: &Parameter) -> Result<(), String> {
    let name = &parameter.name;
    if name.is_empty() || name.contains(['=', ' ']) {
        return Err(format!("`{name}` is not a name for a parameter: no spaces and no `=`"));
    }
    if parameter.form == ParameterType::Choice && parameter.values.is_empty() {
        return Err(format!("parameter `{name}` is a choice without values"));
    }
    for bound in [&parameter.minimum, &parameter.maximum] {
        if !bound.is_empty() {
            number(parameter.form, bound)
                .map_err(|why| format!("a bound of parameter `{name}` is `{bound}`: {why}"))?;
        }
    }
    // An empty default of a form that has no empty value means: not given, the module decides.
    if !parameter.required && !parameter.default.is_empty() {
        let default = &parameter.default;
        check_value(parameter, default)
            .map_err(|why| format!("the default of parameter `{name}` is `{default}`: {why}"))?;
    }
    Ok(())
}

fn check_value(parameter: &Parameter, value: &str) -> Result<(), String> {
    if value.len() > TEXT_MAX_BYTES {
        return Err(format!("it is longer than {TEXT_MAX_BYTES} bytes"));
    }
    match parameter.form {
        ParameterType::Text => Ok(()),
        ParameterType::Boolean if matches!(value, "true" | "false") => Ok(()),
        ParameterType::Boolean => Err("only `true` and `false` are possible".into()),
        ParameterType::Choice if parameter.values.iter().any(|legal| legal == value) => Ok(()),
        ParameterType::Choice => Err(format!("possible are {}", parameter.values.join(", "))),
        ParameterType::Integer | ParameterType::Size | ParameterType::Duration => check_range(parameter, value),
    }
}

fn check_range(parameter: &Parameter, value: &str) -> Result<(), String> {
    let found = number(parameter.form, value)?;
    let bound = |text: &str| if text.is_empty() { None } else { number(parameter.form, text).ok() };
    if bound(&parameter.minimum).is_some_and(|least| found < least) {
        return Err(format!("the least is {}", parameter.minimum));
    }
    if bound(&parameter.maximum).is_some_and(|greatest| found > greatest) {
        return Err(format!("the greatest is {}", parameter.maximum));
    }
    Ok(())
}

/// A value on the scale of its form.
fn number(form: ParameterType, text: &str) -> Result<i128, String> {
    match form {
        ParameterType::Integer => text.parse::<i64>().map(i128::from).map_err(|_| "it is not a whole number".into()),
        ParameterType::Size => parse_size(text).map(i128::from).map_err(|error| error.reason),
        ParameterType::Duration => {
            let duration = parse_duration(text).map_err(|error| error.reason)?;
            Ok(i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX))
        }
        ParameterType::Text | ParameterType::Boolean | ParameterType::Choice => Err("it has no order".into()),
    }
}

fn unknown_hint(module: &Module, name: &str) -> String {
    let names: Vec<&str> = module.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    if names.is_empty() {
        return "leave it out: this module has no parameters".into();
    }
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? its parameters are {}", names.join(", ")),
        None => format!("its parameters are {}", names.join(", ")),
    }
}

/// How to give a parameter rightly.
fn hint(parameter: &Parameter) -> String {
    let form = match parameter.form {
        ParameterType::Text => "TEXT".to_owned(),
        ParameterType::Integer => "NUMBER".to_owned(),
        ParameterType::Boolean => "true|false".to_owned(),
        ParameterType::Size => "SIZE (as 4KiB)".to_owned(),
        ParameterType::Duration => "TIME (as 250ms)".to_owned(),
        ParameterType::Choice => parameter.values.join("|"),
    };
    let help = if parameter.help.is_empty() { String::new() } else { format!(": {}", parameter.help) };
    format!("give {}={form}{help}", parameter.name)
}
